"""The size of the solver pool, and the memory of its processes, follow the limits of the container."""

import os
from pathlib import Path

import pytest

from app import settings


@pytest.mark.parametrize(
    ("quota", "processes"),
    [
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("25000 100000", 1),
        ("99900000 100000", 4),
        ("max 100000", 4),
        (None, 4),
    ],
    ids=["two", "one and a half", "a quarter", "more than there are", "no limit", "control groups of version 1"],
)
def test_there_are_as_many_solver_processes_as_the_limit_allows(
    quota: str | None, processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of four cores; the limit as the kernel shows it inside of a container."""
    shown = tmp_path / "cpu.max"
    if quota is not None:
        shown.write_text(f"{quota}\n")
    monkeypatch.setattr(settings, "CPU_QUOTA", shown)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 4)
    assert settings.load_settings({}).solver_processes == processes
    assert settings.load_settings({"SOLVER_PROCESSES": "3"}).solver_processes == 3


@pytest.mark.parametrize(
    ("limit", "processes", "mebibytes"),
    [
        (str(640 * 2**20), 1, 320),
        (str(1024 * 2**20), 4, 176),
        (str(256 * 2**20), 1, 64),
        ("max", 4, None),
        (str(2**63 - 4096), 4, None),
        (None, 4, None),
    ],
    ids=["base", "production", "less than enough", "no limit", "no limit in version 1", "no control groups"],
)
def test_solver_processes_share_the_memory_that_the_limit_leaves(
    limit: str | None, processes: int, mebibytes: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Together with everything else they fit into the limit, unless it is too small for anything."""
    shown = tmp_path / "memory.max"
    if limit is not None:
        shown.write_text(f"{limit}\n")
    monkeypatch.setattr(settings, "MEMORY_LIMITS", (tmp_path / "missing", shown))
    loaded = settings.load_settings({"SOLVER_PROCESSES": str(processes)})
    assert loaded.solver_memory_bytes == (None if mebibytes is None else mebibytes * 2**20)


@pytest.mark.parametrize(("chosen", "expected"), [("100", 100 * 2**20), ("0", None)])
def test_the_memory_of_solver_processes_can_be_set(chosen: str, expected: int | None) -> None:
    """0 sets no limit."""
    assert settings.load_settings({"SOLVER_MEMORY_MEBIBYTES": chosen}).solver_memory_bytes == expected
