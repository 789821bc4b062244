"""The command-line tools that these tests put to the project's files."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.deployment.containerfile import REPOSITORY


def find_tool(name: str) -> str:
    """The path of a tool: from the development packages, else from this machine."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found is not None, f"`{name}` is not installed on this machine, and this test needs it"
    return found


def find_uv() -> str:
    """The uv that runs these tests (it names itself in UV), one on the PATH, or the one that ./run fetched."""
    fetched = REPOSITORY / ".tools/uv/bin/uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(fetched) if fetched.exists() else None)
    assert found is not None, "uv is not on the PATH: start the tests with ./run test"
    return found


def run_tool(name: str, *arguments: str, text: str | None = None) -> tuple[int, str]:
    """Run a tool in the repository; give its exit code and all its output."""
    done = subprocess.run(
        [find_tool(name), *arguments],
        cwd=REPOSITORY,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout
