"""Runs the command on files that a test writes."""

import csv
import io
from pathlib import Path

from msgspec import Struct

from solver.files import Request, run

EXPORTS = Path(__file__).parent / "exports"
"""Files that imitate those of brokers, with made-up securities and numbers."""


class Outcome(Struct, frozen=True):
    """What the command returned and printed."""

    code: int
    output: str
    error: str


def plan(directory: Path, holdings: str | bytes | Path, targets: str | bytes, **options: str) -> Outcome:
    """Run the command; texts are written to files, and options whose value has several lines as well."""
    arguments = {
        "holdings": _path(directory, "holdings.csv", holdings),
        "targets": _path(directory, "targets.csv", targets),
    }
    for name, value in options.items():
        suffix = ".json" if name == "rules" else ".csv"
        written = name in ("prices", "rules") and ("\n" in value or value.startswith("{"))
        arguments[name] = _path(directory, name + suffix, value) if written else value
    output, error = io.StringIO(), io.StringIO()
    code = run(Request(**arguments), output, error)
    return Outcome(code, output.getvalue(), error.getvalue())


def trades(directory: Path, holdings: str | bytes | Path, targets: str | bytes, **options: str) -> dict[str, str]:
    """Return the signed quantities by security id of a plan that must exist."""
    out = directory / "trades.csv"
    outcome = plan(directory, holdings, targets, out=str(out), **options)
    assert outcome.code == 0, outcome.error
    content = out.read_bytes().decode()
    out.unlink()
    rows = list(csv.DictReader(io.StringIO(content)))
    return {row["securityId"]: ("-" if row["transactionType"] == "SELL" else "") + row["quantity"] for row in rows}


def rejection(directory: Path, holdings: str | bytes | Path, targets: str | bytes, **options: str) -> str:
    """Return the error of a request that must be rejected without any output file."""
    out = directory / "trades.csv"
    outcome = plan(directory, holdings, targets, **{"out": str(out), **options})
    assert outcome.code == 1, outcome.output
    assert not out.exists()
    assert outcome.error.count("\n") == 1
    assert not [path for path in directory.iterdir() if path.name.endswith(".part")]
    return outcome.error


def _path(directory: Path, name: str, content: str | bytes | Path) -> str:
    if isinstance(content, Path):
        return str(content)
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)
