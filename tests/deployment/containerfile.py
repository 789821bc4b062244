"""Reads the Containerfile: its stages, and the instructions of each."""

import itertools
import json
import re
from pathlib import Path
from string import Template

from msgspec import Struct

REPOSITORY = Path(__file__).parents[2]
CONTAINERFILE = REPOSITORY / "Containerfile"


class Instruction(Struct, frozen=True):
    """One instruction, its continuation lines joined."""

    keyword: str
    value: str

    @property
    def arguments(self) -> list[str]:
        """The words of an exec form; fails where it is a shell form, which would hide signals from the process."""
        words = json.loads(self.value[self.value.index("[") :])
        assert all(isinstance(word, str) for word in words)
        return list(words)

    @property
    def shell_command(self) -> str:
        """What a RUN gives to the shell, without the mounts that BuildKit sets up around it."""
        return re.sub(r"^(--mount=\S+\s+)+", "", self.value)


class Stage(Struct, frozen=True):
    """One FROM and what follows it."""

    name: str
    image: str
    instructions: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        """Every instruction of a kind, in order."""
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]

    def only(self, keyword: str) -> Instruction:
        """The one instruction of a kind."""
        (instruction,) = self.all(keyword)
        return instruction

    @property
    def environment(self) -> dict[str, str]:
        """What its ENV instructions set, variables in it unexpanded."""
        pairs = (re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", instruction.value) for instruction in self.all("ENV"))
        return {name: value.strip('"') for found in pairs for name, value in found}


def logical_lines(path: Path = CONTAINERFILE) -> list[str]:
    """Return the lines without comments, continuation lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    return list(filter(None, re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines()))


def global_arguments() -> dict[str, str]:
    """Return the defaults of the ARG instructions before the first stage: what a build can override."""
    lines = itertools.takewhile(lambda line: not line.startswith("FROM "), logical_lines())
    return dict(line.removeprefix("ARG ").split("=", 1) for line in lines)


def read_stages(path: Path = CONTAINERFILE) -> dict[str, Stage]:
    """Return the stages by name, in order, each with the image or stage that it is built on by default."""
    defaults = global_arguments()
    stages: dict[str, Stage] = {}
    for line in itertools.dropwhile(lambda line: not line.startswith("FROM "), logical_lines(path)):
        keyword, _, value = line.partition(" ")
        if keyword == "FROM":
            image, name = re.fullmatch(r"(\S+) AS (\S+)", value).groups()  # type: ignore[union-attr]
            stages[name] = Stage(name, Template(image).substitute(defaults), ())
        else:
            last = list(stages)[-1]
            stage = stages[last]
            stages[last] = Stage(stage.name, stage.image, (*stage.instructions, Instruction(keyword, value)))
    return stages


def final_stage() -> Stage:
    """The stage that becomes the image."""
    return list(read_stages().values())[-1]
