"""The benchmarks by their names."""

from importlib.util import find_spec
from pathlib import Path

from benchmarks.__main__ import MODULES

ROOT = Path(__file__).parents[2]


def test_every_benchmark_is_a_module_and_is_told_of() -> None:
    """By the usage of the script that runs it, and by the documentation of what it measures."""
    usage = (ROOT / "run").read_text()
    told = (ROOT / "docs" / "performance.md").read_text() + (ROOT / "docs" / "benchmarks.md").read_text()
    for name, module in MODULES.items():
        assert find_spec(module)
        assert name in usage
        assert f"./run bench {name}" in told
