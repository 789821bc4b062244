"""`order-generation plan` and `python -m solver` are one command, started as users start it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = [str(Path(sys.executable).parent / "order-generation"), "plan"]
SOLVER = [sys.executable, "-m", "solver"]
HOLDINGS = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\nÄÖÜ,3,7\n"
TARGETS = "symbol,target,drift\nAAA,40%,2%\nBBB,55%,2%\n"
INFEASIBLE = "symbol,target,drift\nAAA,50.25%,0.1%\nBBB,40%,1%\n"


def run(command: list[str], *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a directory."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "PYTHONUTF8")}
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**inherited, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Write holdings and targets, and return their directory."""
    (tmp_path / "holdings.csv").write_text(HOLDINGS, "utf-8")
    (tmp_path / "targets.csv").write_text(TARGETS)
    (tmp_path / "infeasible.csv").write_text(INFEASIBLE)
    return tmp_path


def test_both_commands_print_and_write_the_same(files: Path) -> None:
    """Output, files and exit codes are equal to the byte."""
    outcomes = [
        run(command, "holdings.csv", "targets.csv", "--cash", "$100.00", "--out", f"{index}.csv", cwd=files)
        for index, command in enumerate((SERVICE, SOLVER))
    ]
    assert [outcome.returncode for outcome in outcomes] == [0, 0], outcomes[0].stderr
    assert outcomes[0].stdout.replace(b"0.csv", b"1.csv") == outcomes[1].stdout
    assert (files / "0.csv").read_bytes() == (files / "1.csv").read_bytes()
    assert b"SELL,AAA,AAA," in (files / "0.csv").read_bytes()


@pytest.mark.parametrize("command", [SERVICE, SOLVER], ids=["service", "solver"])
def test_a_rejection_is_one_line_and_an_exit_code(command: list[str], files: Path) -> None:
    """An infeasible plan names the security; a wrong command line has another code."""
    outcome = run(command, "holdings.csv", "infeasible.csv", "--out", "trades.csv", cwd=files)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith(b"error: Security AAA at 10 has no whole number of shares")
    assert outcome.stderr.count(b"\n") == 1
    assert not (files / "trades.csv").exists()
    assert run(command, "holdings.csv", cwd=files).returncode == 2


def test_a_terminal_without_unicode_and_a_closed_pipe_are_no_errors(files: Path) -> None:
    """Names that cannot be shown are escaped, and a reader that leaves early changes nothing."""
    outcome = run(SOLVER, "holdings.csv", "targets.csv", cwd=files, PYTHONIOENCODING="ascii")
    assert outcome.returncode == 0, outcome.stderr
    assert rb"\xc4\xd6\xdc" in outcome.stdout
    closed = subprocess.run(
        ["sh", "-c", f"{' '.join(SOLVER)} holdings.csv targets.csv --out trades.csv | head -n 1"],
        cwd=files,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert closed.stderr == b""
    assert (files / "trades.csv").exists()


def test_the_command_needs_no_service(files: Path) -> None:
    """It reads no settings and loads neither the web framework nor the database driver."""
    program = (
        "import runpy, sys; sys.argv = ['solver', 'holdings.csv', 'targets.csv']\n"
        "try:\n    runpy.run_module('solver', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0, end.code\n"
        "loaded = [name for name in ('app', 'litestar', 'pymongo', 'cvxpy', 'narwhals') if name in sys.modules]\n"
        "assert loaded == [], loaded"
    )
    outcome = run([sys.executable, "-c"], program, cwd=files, MONGODB_URL="nonsense", PORT="x")
    assert outcome.returncode == 0, outcome.stderr
