"""Reads uv.lock: which packages each part of the project comes to, and the files that each can be installed from."""

import tomllib
from collections.abc import Iterable
from typing import Any

from msgspec import Struct, convert
from packaging.markers import Marker, default_environment

from tests.deployment.containerfile import REPOSITORY

PROJECT = "globeco-order-generation-service"


class Dependency(Struct, frozen=True):
    """A requirement of a package on another."""

    name: str
    marker: str = ""
    extra: tuple[str, ...] = ()

    def applies(self, machine: str) -> bool:
        """Whether Linux on that machine needs it."""
        environment = {**default_environment(), "sys_platform": "linux", "platform_machine": machine}
        return not self.marker or Marker(self.marker).evaluate(
            {name: str(value) for name, value in environment.items()}
        )


class Wheel(Struct, frozen=True):
    """A built distribution on the index."""

    url: str

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[-1]


class Package(Struct, frozen=True):
    """A locked package."""

    name: str
    version: str
    dependencies: tuple[Dependency, ...] = ()
    optional: dict[str, tuple[Dependency, ...]] = {}
    groups: dict[str, tuple[Dependency, ...]] = {}
    source: dict[str, str] = {}
    wheels: tuple[Wheel, ...] = ()

    @property
    def is_workspace_member(self) -> bool:
        """Whether it is built from this repository instead of installed from an index."""
        return "editable" in self.source


def read_lock() -> dict[str, Package]:
    """Every locked package by name."""
    lock: dict[str, Any] = tomllib.loads((REPOSITORY / "uv.lock").read_text())
    packages: dict[str, Package] = {}
    for entry in lock["package"]:
        entry["optional"] = entry.pop("optional-dependencies", {})
        entry["groups"] = entry.pop("dev-dependencies", {})
        package = convert(entry, Package)
        assert package.name not in packages, f"{package.name} is locked in two versions"
        packages[package.name] = package
    return packages


def closure(roots: Iterable[Dependency], machine: str) -> set[str]:
    """The names of everything that these requirements come to on a machine."""
    lock = read_lock()
    found: set[tuple[str, tuple[str, ...]]] = set()
    waiting = [(root.name, root.extra) for root in roots if root.applies(machine)]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        package = lock[name]
        needs = [*package.dependencies, *(need for extra in extras for need in package.optional.get(extra, ()))]
        waiting += [(need.name, need.extra) for need in needs if need.applies(machine)]
    return {name for name, _ in found}


def production_packages(machine: str) -> set[str]:
    """What the service needs to run, without extras, itself left out."""
    return closure(read_lock()[PROJECT].dependencies, machine)


def development_packages(machine: str) -> set[str]:
    """What only the extras and the development groups bring, the embedded MongoDB among it."""
    project = read_lock()[PROJECT]
    roots = [need for needs in (*project.optional.values(), *project.groups.values()) for need in needs]
    return closure(roots, machine) - production_packages(machine) - {PROJECT}
