"""The distribution `globeco-solver` as users install it: built, and outside this repository."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
OLDEST = "3.12"
NEWEST = "3.13"
TRANSPORT = ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HOME", "TMPDIR")

HOLDINGS = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\n"
TARGETS = "symbol,target\nAAA,40%\nBBB,55%\n"


def uv() -> str:
    """Return the uv that runs these tests, one on the PATH, or the one that ./run fetched."""
    fetched = REPOSITORY / ".tools/uv/bin/uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(fetched) if fetched.exists() else None)
    assert found is not None, "uv is not on the PATH: start the tests with ./run test"
    return found


def interpreter(version: str) -> str:
    """Return an installed CPython of a version; skip the test if there is none."""
    candidates = [sys.executable] if version == f"{sys.version_info.major}.{sys.version_info.minor}" else []
    candidates += [path for path in [shutil.which(f"python{version}")] if path]
    roots = [Path(root) for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv") if root]
    candidates += [
        str(path) for root in roots for path in sorted(root.glob(f"versions/{version}.*/bin/python{version}"))
    ]
    found = subprocess.run(
        [uv(), "python", "find", "--no-project", "--no-python-downloads", version],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    candidates += [found.stdout.strip()] if found.returncode == 0 else []
    for candidate in candidates:
        done = subprocess.run(
            [candidate, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0 and done.stdout.strip() == version:
            return candidate
    pytest.skip(f"CPython {version} is not installed")


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command outside the repository with nothing of its environment."""
    inherited = {name: value for name in TRANSPORT if (value := os.environ.get(name))}
    inherited |= {name: value for name, value in os.environ.items() if name.startswith("UV_") and "PROJECT" not in name}
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [uv(), "build", "--package", "globeco-solver", "--wheel", "--out-dir", str(out)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


class Installed:
    """A virtual environment with the wheel and nothing else."""

    def __init__(self, directory: Path, version: str, requirement: str) -> None:
        """Create it and install the requirement."""
        self.directory = directory
        self.python = str(directory / "venv/bin/python")
        made = run(uv(), "venv", "-q", "--python", interpreter(version), "venv", cwd=directory)
        assert made.returncode == 0, made.stderr
        self.install(requirement)

    def install(self, *requirements: str) -> None:
        """Install requirements from the index."""
        done = run(uv(), "pip", "install", "-q", "--python", self.python, *requirements, cwd=self.directory)
        assert done.returncode == 0, done.stderr

    def execute(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run its interpreter in its directory."""
        return run(self.python, *arguments, cwd=self.directory)


def test_the_wheel_contains_the_package_and_nothing_of_the_service(wheel: Path) -> None:
    """It has every module, the marker of types, its README and its license."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    modules = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "solver").rglob("*.py")}
    assert modules
    assert {name for name in names if name.startswith("solver/")} == modules | {"solver/py.typed"}
    assert {name.split("/")[0] for name in names} == {"solver", "globeco_solver-0.1.0.dist-info"}
    assert any(name.endswith("licenses/LICENSE") for name in names)
    required = [line.partition(": ")[2] for line in metadata.splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in required if "extra ==" not in line] == ["msgspec>=0.19", "numpy>=2.2"]
    assert "Requires-Python: >=3.12" in metadata
    assert "```python" in metadata


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def alone(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel alone."""
    return Installed(tmp_path_factory.mktemp("alone"), request.param, str(wheel))


@pytest.mark.slow
def test_installed_alone_it_is_small(alone: Installed) -> None:
    """Two dependencies and at most 60 MB on disk."""
    listed = run(uv(), "pip", "list", "--format", "json", "--python", alone.python, cwd=alone.directory)
    assert {each["name"] for each in json.loads(listed.stdout)} == {"globeco-solver", "msgspec", "numpy"}
    (packages,) = (alone.directory / "venv/lib").glob("python*/site-packages")
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert size < 60_000_000


@pytest.mark.slow
def test_installed_alone_it_imports_without_numpy(alone: Installed) -> None:
    """The import is quick and loads numpy only when something is solved."""
    program = (
        "import sys, time; started = time.process_time(); import solver; seconds = time.process_time() - started\n"
        "assert 'numpy' not in sys.modules and 'app' not in sys.modules\n"
        "assert '/venv/' in solver.__file__, solver.__file__\n"
        "plan = solver.rebalance({'AAA': 100, 'BBB': 50}, {'AAA': '40%', 'BBB': '55%'}, {'AAA': 10, 'BBB': 20})\n"
        "assert plan.trades == {'AAA': -20, 'BBB': 5}, plan.trades\n"
        "print(seconds)"
    )
    assert alone.execute("-c", program).returncode == 0
    done = alone.execute("-c", program)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2


@pytest.mark.slow
def test_installed_alone_it_has_the_command(alone: Installed) -> None:
    """`python -m solver` writes the trades."""
    (alone.directory / "holdings.csv").write_text(HOLDINGS)
    (alone.directory / "targets.csv").write_text(TARGETS)
    for command in (["-m", "solver"], ["venv/bin/globeco-solver"]):
        done = alone.execute(*command, "holdings.csv", "targets.csv", "--out", "trades.csv")
        assert done.returncode == 0, done.stderr
        assert (alone.directory / "trades.csv").read_text().splitlines()[1].startswith("SELL,AAA,AAA,20,10,200,")
    assert alone.execute("-m", "solver", "missing.csv", "targets.csv").returncode == 1


@pytest.mark.slow
def test_what_needs_an_extra_says_so(alone: Installed) -> None:
    """The strategy milp and data frames name the extra that has them."""
    program = (
        "import solver\n"
        "from decimal import Decimal as D\n"
        "security = solver.Security('A', D(3), D(0), D('0.5'), D(1), D(1))\n"
        "try:\n"
        "    solver.solve(solver.Portfolio((security,), D(10)), strategy=solver.SolverStrategy.MILP)\n"
        "except solver.MissingExtra as error:\n"
        "    print(error)\n"
        "try:\n"
        "    solver.rebalance({'A': 1}, {'A': 0.5}, {'A': 3}).to_frame()\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = alone.execute("-c", program)
    assert done.returncode == 0, done.stderr
    milp, frames = done.stdout.splitlines()
    assert "the strategy milp needs cvxpy, which is not installed: pip install 'globeco-solver[milp]'" in milp
    assert "pip install 'globeco-solver[frames]'" in frames


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tests_of_the_solver_pass_on_the_oldest_python() -> None:
    """The suite runs against the wheel with all extras on the oldest Python that is supported, as in CI."""
    done = run(
        str(REPOSITORY / ".ci/solver"), interpreter(OLDEST), cwd=REPOSITORY, PATH=f"{Path(uv()).parent}:/usr/bin:/bin"
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
