"""What the documents for operators name exists: files, metrics, settings."""

import re
import subprocess
from pathlib import Path

import pytest

from app.settings import Settings
from tests.deployment.containerfile import REPOSITORY

DOCUMENTS = [
    REPOSITORY / f"docs/{name}.md" for name in ("deployment", "failures", "monitoring", "operations", "security")
]
EVERY_DOCUMENT = pytest.mark.parametrize("document", DOCUMENTS, ids=[document.stem for document in DOCUMENTS])
SETTINGS = {field.upper() for field in Settings.__struct_fields__}
ENDINGS = ("_SECONDS", "_PROCESSES", "_STRATEGY", "_CONCURRENCY", "_RETRIES", "_URL", "_DIALECT", "_LEVEL", "_ORIGINS")
"""Of the names of settings."""


@EVERY_DOCUMENT
def test_each_file_it_names_is_there(document: Path) -> None:
    """Paths and links of a document exist."""
    text = document.read_text()
    folders = "|".join(each.name for each in REPOSITORY.iterdir() if each.is_dir() and not each.name.startswith("."))
    named = set(re.findall(rf"(?:{folders})/[\w./-]*\w", text)) - {"kustomize/overlays/NAME"}
    linked = {link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link}
    assert {each for each in named if not (REPOSITORY / each).exists()} == set()
    assert {each for each in linked if not (document.parent / each).exists()} == set()


@EVERY_DOCUMENT
def test_each_metric_it_names_is_in_the_tables_of_metrics(document: Path) -> None:
    """Those are compared with a scrape."""
    listed = (REPOSITORY / "docs/monitoring.md").read_text()
    tables = set(re.findall(r"^\| `((?:order_generation|http)_\w+)`", listed, re.MULTILINE))
    named = set(re.findall(r"\b(?:order_generation|http_request)_\w+", document.read_text()))
    assert {re.sub(r"_(?:bucket|sum|count)$", "", name) for name in named} <= tables


@EVERY_DOCUMENT
def test_each_alert_it_names_exists(document: Path) -> None:
    """Under its full name, as in the rules."""
    rules = (REPOSITORY / "monitoring/alerts.yaml").read_text()
    assert set(re.findall(r"\bOrderGeneration\w+", document.read_text())) <= set(re.findall(r"alert: (\w+)", rules))


@EVERY_DOCUMENT
def test_each_setting_it_names_is_one(document: Path) -> None:
    """Variables in a document are settings of the service."""
    named = {name for name in re.findall(r"`([A-Z_]+)(?:=\w+)?`", document.read_text()) if name.endswith(ENDINGS)}
    assert {name for name in named if not name.startswith("OTEL_")} <= SETTINGS


PRUNING_KUBECTL = """#!/bin/sh
case "$*" in
  *" get replicasets "*) printf 'settings-in-use settings-before' ;;
  *" get configmaps "*) printf 'configmap/%s\\n' settings-in-use settings-before settings-in settings-old ;;
  *" delete "*) echo "$*" >> "$CALLS" ;;
esac
"""
"""A cluster with two ReplicaSets and four ConfigMaps."""


def test_only_settings_that_no_replica_set_names_are_deleted(tmp_path: Path) -> None:
    """The commands of the document, run against a `kubectl` that records what is deleted."""
    (tmp_path / "kubectl").write_text(PRUNING_KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    text = (REPOSITORY / "docs/deployment.md").read_text()
    (script,) = [each for each in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "get replicasets" in each]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls")}
    subprocess.run(["sh", "-euc", script], env=environment, check=True)
    deleted = (tmp_path / "calls").read_text().splitlines()
    assert [call.rpartition(" ")[2] for call in deleted] == ["configmap/settings-in", "configmap/settings-old"]
