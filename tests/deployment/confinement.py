"""Starts a command as a container would run it: not as root, without privileges, on a read-only file system.

A mount namespace of the process makes the file systems read-only. Root may make one; another user may where the machine
allows user namespaces. Where it does not, `read_only_file_system` says so, and the command runs as that user on a tree
that nobody may write to.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import IO

from tests.deployment.containerfile import final_stage

READ_ONLY = """
while read -r _ target _; do
  case $target in
    /proc | /proc/* | /sys | /sys/* | /dev | /dev/pts | /dev/mqueue) ;;
    *) mount -o remount,bind,ro "$target" 2>/dev/null || true ;;
  esac
done < /proc/self/mounts
mount -t tmpfs -o size=16m,mode=1777 tmpfs /tmp
"""
"""Makes the namespace's file systems read-only but for a small /tmp, as the manifests mount one."""

AS_ROOT = ("unshare", "--mount", "--propagation", "private")
AS_USER = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount", "--propagation", "private")


def confined(command: list[str]) -> list[str]:
    """The command, confined as far as this machine allows."""
    if not read_only_file_system():
        return ["setpriv", "--no-new-privs", *command]
    return [*_namespace(), "sh", "-ec", f'{READ_ONLY}\ncd /\nexec "$@"', "sh", *_unprivileged(), *command]


def start_confined(command: list[str], environment: Mapping[str, str], output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start the command; the process is the command itself, so that a signal to it is a signal to the container."""
    return subprocess.Popen(
        confined(command),
        cwd="/",
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


@cache
def read_only_file_system() -> bool:
    """Whether this machine lets the tests make file systems read-only for one process."""
    probe = subprocess.run(
        [*_namespace(), "sh", "-ec", f"{READ_ONLY}\n! test -w /var/tmp"],
        capture_output=True,
        check=False,
    )
    return probe.returncode == 0


def expected_user() -> int:
    """The user that a confined command runs as: the image's, or the one of these tests where that is not root."""
    return os.geteuid() or int(final_stage().only("USER").value.split(":")[0])


def make_read_only(tree: Path) -> None:
    """Take the right to write from every file of a tree, its owner's included."""
    subprocess.run(["chmod", "-R", "a-w", tree], check=True)


def remove_read_only(tree: Path) -> None:
    """Remove such a tree."""
    subprocess.run(["find", tree, "-type", "d", "-exec", "chmod", "u+w", "{}", "+"], check=True)
    shutil.rmtree(tree)


def _namespace() -> tuple[str, ...]:
    return AS_ROOT if os.geteuid() == 0 else AS_USER


def _unprivileged() -> list[str]:
    if os.geteuid() != 0:
        return ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    user, group = final_stage().only("USER").value.split(":")
    # The interpreter may lie in root's home, which in an image it does not: reading, and only that, passes there.
    reading = "+dac_read_search"
    return [
        *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--no-new-privs"),
        *(f"--inh-caps=-all,{reading}", f"--ambient-caps=-all,{reading}", f"--bounding-set=-all,{reading}"),
    ]
