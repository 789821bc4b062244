"""Exports that were damaged at random are planned or rejected with one line, and nothing else happens."""

import random
from pathlib import Path

import pytest

from tests.solver.files.planning import EXPORTS, plan

TARGETS = "Symbol,ISIN,Target,Drift\nNRTH,US0000000019,50%,5%\nSUTH,IE0000000027,40%,5%\n"
CELLS = [
    *("", "--", "0", "1,234", "1.234", "1e9", "1e-30", "(5)", "-5", "%", "50%", "nan", "=1", "1/2", "1.2.3", "9" * 60),
    *("Cash", "Total", "NRTH", "USD", "Buy", "\u20ac1", '"', "\n", ",", ";", "\t", "\u202e", "\u0663", "x" * 300),
]


def damaged(chance: random.Random) -> bytes:
    """Return an export with some bytes, cells or lines changed."""
    data = chance.choice(sorted(EXPORTS.glob("*.csv"))).read_bytes()
    if chance.random() < 0.3:
        changed = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    codec = "utf-16" if data.startswith(b"\xff\xfe") else "utf-8-sig" if data.isascii() else "latin-1"
    lines = data.decode(codec).split("\n")
    for _ in range(chance.randint(1, 4)):
        index = chance.randrange(len(lines))
        cells = lines[index].split(",")
        match chance.randrange(6):
            case 0:
                lines.insert(index, chance.choice(lines))
            case 1 if len(lines) > 1:
                del lines[index]
            case 2:
                chance.shuffle(cells)
                lines[index] = ",".join(cells)
            case _:
                cells[chance.randrange(len(cells))] = chance.choice(CELLS)
                lines[index] = ",".join(cells)
    return "\n".join(lines).encode()


def check(seeds: range, directory: Path) -> None:
    """Plan each damaged export."""
    out = directory / "trades.csv"
    codes = set()
    for seed in seeds:
        out.unlink(missing_ok=True)
        outcome = plan(directory, damaged(random.Random(seed)), TARGETS, out=str(out))
        assert (outcome.code == 0) == out.exists(), seed
        assert bool(outcome.error) == bool(outcome.code), seed
        assert all(line.startswith("error: ") for line in outcome.error.splitlines()), seed
        assert outcome.error.startswith("error: ") == bool(outcome.code), seed
        codes.add(outcome.code)
    assert codes == {0, 1}


def test_a_damaged_export_is_planned_or_rejected(tmp_path: Path) -> None:
    """No damage ends in a traceback, in a partial file, or in an exit code without a reason."""
    check(range(80), tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_thousand_damaged_exports_are_planned_or_rejected(tmp_path: Path) -> None:
    """The same, longer."""
    check(range(1000, 6000), tmp_path)
