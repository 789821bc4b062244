"""The size of the solver pool follows the CPU limit of the container."""

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
