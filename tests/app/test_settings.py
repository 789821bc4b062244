"""Settings that depend on where the process runs."""

import os
from pathlib import Path

import pytest

from app import settings


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("max 100000\n", 4),
        ("100000 100000\n", 1),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("800000 100000\n", 4),
    ],
)
def test_a_containers_processor_quota_bounds_the_solver_processes(
    quota: str, processors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(settings, "CPU_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "process_cpu_count", lambda: 4)
    assert settings.load_settings({}).solver_processes == processors


def test_without_a_quota_every_processor_gets_a_solver_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CPU_QUOTA", tmp_path / "missing")
    monkeypatch.setattr(os, "process_cpu_count", lambda: 4)
    assert settings.load_settings({}).solver_processes == 4
