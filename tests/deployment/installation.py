"""Does what building the image does, without a container engine: the Containerfile's own commands, in a directory.

Every path of the image lies under that directory; nothing else about the commands changes.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

from tests.deployment.containerfile import REPOSITORY, Instruction, Stage, final_stage, read_stages
from tests.deployment.tools import find_uv

IMAGE_DIRECTORIES = ("/opt/order-generation", "/src")
IMAGE_PYTHON = "/usr/local/bin/python3.13"
THIS_PYTHON = str(Path(sys.base_prefix) / "bin/python3.13")
TRANSPORT = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("UV_CACHE_DIR", "UV_DEFAULT_INDEX", "UV_INDEX", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"),
)
"""How this machine reaches a package index and where it keeps what it got: no part of what is installed."""


class Installation(Struct, frozen=True):
    """The file system of the image, as far as the Containerfile fills it, under a root directory of this machine."""

    root: Path

    @property
    def virtual_environment(self) -> Path:
        return self.root / "opt/order-generation"

    @property
    def site_packages(self) -> Path:
        return self.virtual_environment / "lib/python3.13/site-packages"

    def here(self, text: str) -> str:
        """The text with every path of the image as it is on this machine."""
        text = re.sub(rf"(?<![\w.-])({'|'.join(IMAGE_DIRECTORIES)})", rf"{self.root}\1", text)
        return text.replace(IMAGE_PYTHON, THIS_PYTHON)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a container of this image."""
        search_path = "/usr/local/bin:/usr/bin:/bin"
        declared = final_stage().environment
        return {"HOME": "/"} | {
            name: self.here(value).replace("$PATH", search_path) for name, value in declared.items()
        }

    @property
    def command(self) -> list[str]:
        """What a container of this image runs."""
        program, *arguments = final_stage().only("ENTRYPOINT").arguments + final_stage().only("CMD").arguments
        return [str(self.virtual_environment / "bin" / program), *arguments]


def install(root: Path) -> Installation:
    """Replay the stages `packages` and `build` under a directory, then keep what the final stage copies out of them."""
    installation = Installation(root)
    stages = read_stages()
    directory = Path(installation.here("/src"))
    for stage in (stages["packages"], stages["build"]):
        for instruction in stage.instructions:
            match instruction.keyword:
                case "WORKDIR":
                    assert directory == Path(installation.here(instruction.value))
                    directory.mkdir(parents=True)
                case "COPY":
                    _copy(instruction, directory)
                case "RUN":
                    _run(instruction, directory, installation, stages["packages"])
    service = directory / "installed/opt/order-generation"
    shutil.copytree(service, installation.virtual_environment, dirs_exist_ok=True)
    shutil.rmtree(directory)
    return installation


def _copy(instruction: Instruction, directory: Path) -> None:
    """Copy from the build context, which has no byte code of this machine; another stage brings only uv."""
    if instruction.value.startswith("--from="):
        assert instruction.value == "--from=uv /uv /usr/local/bin/uv"
        return
    *sources, destination = instruction.value.split()
    for source in map(REPOSITORY.joinpath, sources):
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(source, directory / destination, ignore=ignore, dirs_exist_ok=True)
        else:
            (directory / destination).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, directory / destination)


def _run(instruction: Instruction, directory: Path, installation: Installation, stage: Stage) -> None:
    environment = {name: value for name in TRANSPORT if (value := os.environ.get(name))}
    environment |= {name: installation.here(value) for name, value in stage.environment.items()}
    environment |= {"PATH": f"{Path(find_uv()).parent}:/usr/bin:/bin", "HOME": str(Path.home())}
    done = subprocess.run(
        ["sh", "-ec", installation.here(instruction.shell_command)],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{instruction.value}\n{done.stdout}"
