"""Finds out which packages of the image its processes import: an audit hook in each of them reports every module."""

import csv
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath

from tests.deployment.installation import Installation

REPORT = """
import os
import sys

reported = set()


def report(event, arguments):
    if event != "import":
        return
    name = arguments[0]
    if not name.startswith(("google.", "opentelemetry.")):
        name = name.partition(".")[0]
    if name not in reported:
        reported.add(name)
        os.write(2, f"\\n<imported {name}>\\n".encode())


sys.addaudithook(report)
"""
"""Reports packages by their first name, and modules below the names that several distributions share in full."""


@contextmanager
def reporting_imports() -> Iterator[dict[str, str]]:
    """Yield the environment in which every Python process reports what it imports to standard error."""
    # Not below /tmp, which a confined process has for itself.
    directory = Path(tempfile.mkdtemp(prefix="order-generation-imports-", dir="/var/tmp"))
    directory.chmod(0o755)
    try:
        (directory / "sitecustomize.py").write_text(REPORT)
        yield {"PYTHONPATH": str(directory)}
    finally:
        shutil.rmtree(directory)


def imported_modules(output: str) -> set[str]:
    """Return the modules in the output, or in the log, of processes that report them."""
    return set(re.findall(r"<imported ([\w.]+)>", output))


def imported_packages(installation: Installation, modules: Iterable[str]) -> set[str]:
    """Return the installed packages that these modules belong to."""
    modules = set(modules)
    found = distributions(path=[str(installation.site_packages)])
    return {_name(each) for each in found if modules & _modules(each)}


def _name(distribution: Distribution) -> str:
    return distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")


def _modules(distribution: Distribution) -> set[str]:
    """Return the names that its files can be imported under, with the names above them unless others share those."""
    names: set[str] = set()
    for row in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        file = PurePosixPath(row[0])
        if file.suffix not in {".py", ".so"} or file.parts[0] == "..":
            continue
        parts = [*file.parts[:-1], file.name.partition(".")[0]]
        dotted = ".".join(parts).removesuffix(".__init__")
        names.add(dotted if parts[0] in {"google", "opentelemetry"} else parts[0])
    return names
