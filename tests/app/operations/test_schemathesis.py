"""The running service keeps every promise of its API document, whatever is sent to it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.api import Api

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


def findings(api: Api, directory: Path, *options: str) -> str:
    """What schemathesis finds wrong with all its checks; empty if nothing."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIGURATION), "--no-color"]
    done = subprocess.run(
        [*command, "run", f"{api.url}/docs/openapi.json", "--checks", "all", *options],
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert " generated, " in done.stdout, done.stdout + done.stderr
    return "" if done.returncode == 0 else done.stdout


def test_it_does_for_a_while(standard: Api, tmp_path: Path) -> None:
    """Generated requests of a fixed seed find no violation."""
    assert findings(standard, tmp_path, "--max-examples", "5", "--max-time", "5", "--seed", "1") == ""


def test_it_does_in_the_suites_dialect_at_the_edges_of_every_field(globeco: Api, tmp_path: Path) -> None:
    """Requests at the limits of each schema find no violation."""
    assert findings(globeco, tmp_path, "--phases", "coverage", "--seed", "1") == ""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_does_for_long(api: Api, tmp_path: Path) -> None:
    """A thousand generated requests for each operation find no violation."""
    assert findings(api, tmp_path, "--max-examples", "1000", "--max-time", "300") == ""
