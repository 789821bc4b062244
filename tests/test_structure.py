"""The structure of the packages: what may import what, and what a process loads.

Ruff checks that every `__all__` is sorted (RUF022), so only its presence is checked here.
"""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
LOWER_PACKAGES = ("integrations", "persistence", "solver")
INTERFACES = {
    *LOWER_PACKAGES,
    "integrations.simulator",
    "persistence.embedded",
    "solver.files",
    "solver.planning",
    "solver.pool",
}
EXCEPTIONS = {
    # These benchmarks read and write collections without the repositories, as the floor that they compare with.
    ("benchmarks/history.py", "persistence.indexes"),
    ("benchmarks/recorded_floor.py", "persistence.indexes"),
    # Published knapsacks go to the search itself: it is compared with solvers of knapsacks, not of portfolios.
    ("benchmarks/solver/knapsacks.py", "solver.knapsack.greedy"),
    ("benchmarks/solver/knapsacks.py", "solver.knapsack.reduction"),
}
MUTUAL = {
    # Bodies are rejected with the errors' codes, and errors are sent as bodies: the modules inside form no cycle.
    frozenset({"errors", "http"}),
}


class Import(NamedTuple):
    """An import statement."""

    path: Path
    line: int
    module: str

    @property
    def package(self) -> str:
        """The top-level package that is imported from."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.module}"


@cache
def imports_in(package: str) -> Sequence[Import]:
    """Return every import in a package."""
    return tuple(_imports_in(package))


def _imports_in(package: str) -> Iterator[Import]:
    for path in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            else:
                continue
            for module in modules:
                yield Import(path.relative_to(ROOT), node.lineno, module)


@pytest.mark.parametrize("package", LOWER_PACKAGES)
def test_a_lower_package_imports_no_other_package_of_the_service(package: str) -> None:
    """Only `app` imports the other packages: solver, persistence and integrations know nothing of each other."""
    imports = imports_in(package)
    assert imports
    others = {"app", "benchmarks", "tests", *LOWER_PACKAGES} - {package}
    assert [str(each) for each in imports if each.package in others] == []


@pytest.mark.parametrize("package", ["app", "benchmarks"])
def test_a_package_is_imported_only_through_its_public_interface(package: str) -> None:
    """Code outside a package imports from the package or a public sub-package, never from a module inside it."""
    imports = [each for each in imports_in(package) if each.package in LOWER_PACKAGES]
    assert imports
    past = [each for each in imports if each.module not in INTERFACES]
    assert [str(each) for each in past if (str(each.path), each.module) not in EXCEPTIONS] == []


def test_every_exception_to_the_public_interfaces_is_still_needed() -> None:
    """A listed exception that no import uses any more is removed from the list."""
    used = {(str(each.path), each.module) for each in imports_in("benchmarks")}
    assert used >= EXCEPTIONS


@pytest.mark.parametrize("interface", sorted(INTERFACES))
def test_a_public_interface_lists_its_names(interface: str) -> None:
    """Every public interface defines `__all__` in its `__init__`, with at least one name."""
    tree = ast.parse((ROOT / interface.replace(".", "/") / "__init__.py").read_text())
    lists = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and any(ast.unparse(target) == "__all__" for target in node.targets)
    ]
    assert len(lists) == 1
    assert lists[0]


def test_the_folders_of_app_import_each_other_in_one_direction() -> None:
    """No folder of `app` imports itself through others, except pairs that are listed with a reason."""
    imported: defaultdict[str, set[str]] = defaultdict(set)
    for each in imports_in("app"):
        if each.package == "app":
            _, _, inner = each.module.partition(".")
            importer, target = each.path.parts[1].removesuffix(".py"), inner.partition(".")[0]
            if target and importer != target and frozenset({importer, target}) not in MUTUAL:
                imported[importer].add(target)
    assert imported
    assert [folder for folder in sorted(imported) if folder in reachable(imported, folder)] == []


def reachable(imported: Mapping[str, AbstractSet[str]], start: str) -> AbstractSet[str]:
    """Return the folders that a folder imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = imported.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("app.main", {"cvxpy", "highspy", "scipy"}),
        ("app.solver_task.calculate", {"litestar", "pymongo", "aiohttp", "opentelemetry", "structlog", "cvxpy"}),
    ],
)
def test_a_process_does_not_load_the_libraries_of_another(module: str, unwanted: AbstractSet[str]) -> None:
    """The API process loads no optimisation library; a solver process no web framework and no database driver."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT)
    packages = {name.partition(".")[0] for name in loaded.stdout.split()}
    assert module.partition(".")[0] in packages
    assert packages.isdisjoint(unwanted)


def listed_files() -> set[str]:
    """Return the paths that the section "Files" of docs/architecture.md lists, folders with a slash at their end."""
    section = (ROOT / "docs/architecture.md").read_text().split("\n## Files\n")[1].split("\n## ")[0]
    paths: set[str] = set()
    package, folders, in_tree = "", [""], False
    for line in section.splitlines():
        if line.startswith("### "):
            package, folders = line.removeprefix("### ") + "/", []
        elif line.startswith("```"):
            in_tree = not in_tree
        elif in_tree and line.strip():
            depth = (len(line) - len(line.lstrip())) // 2
            name, *description = line.split(maxsplit=1)
            folders = folders[:depth]
            assert name.endswith("/") or description, f"{name} has no description"
            paths.add(package + "".join(folders) + name)
            folders.append(name)
    return paths


def test_the_architecture_document_has_a_line_for_each_file() -> None:
    """docs/architecture.md describes each module and each page template, and nothing that no longer exists."""
    listed = listed_files()
    files = {
        path.relative_to(ROOT).as_posix()
        for package in ("app", *LOWER_PACKAGES)
        for pattern in ("*.py", "*.html")
        for path in (ROOT / package).rglob(pattern)
        if path.name != "__init__.py"
    }
    assert len(files) > 150
    assert sorted(files - listed) == []
    assert [path for path in sorted(listed) if not (ROOT / path).exists()] == []
