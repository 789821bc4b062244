"""The English of the packages: openings and words that CONTRIBUTING.md replaces by exact ones."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("app", "solver", "persistence", "integrations", "benchmarks")
OPENINGS = re.compile(r"(?:Give|Take|Tell|Let|Put|Make|Mend|Look|Whoever|Say|Wanted|Told)s?\b")
WORDS = re.compile(
    r"\b(?:mend|mended|mendable|whoever|told|shall|answers?|answered|answering)\b|\b(?:is none\b|is no JSON\b)",
    re.IGNORECASE,
)


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text is not None:
                yield node.body[0].lineno, text


def faults(path: Path) -> Iterator[str]:
    source = path.read_text()
    name = path.relative_to(ROOT)
    for line, text in docstrings(ast.parse(source)):
        if OPENINGS.match(text):
            yield f"{name}:{line}: docstring opens with a general verb: {text.splitlines()[0]}"
    for line, text in enumerate(source.splitlines(), start=1):
        if word := WORDS.search(text.replace(" is None", "")):
            yield f"{name}:{line}: `{word[0]}`: {text.strip()}"


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_is_written_in_plain_engineering_english(package: str) -> None:
    """No docstring opens with a general verb if the field has an exact one, and no line has one of the other words."""
    paths = sorted((ROOT / package).rglob("*.py"))
    assert paths
    assert [fault for path in paths for fault in faults(path)] == []


def test_each_test_describes_the_behaviour_in_a_sentence() -> None:
    """Every test function has a docstring that ends like a sentence and does not merely repeat the name."""
    found: list[str] = []
    tests = 0
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                tests += 1
                text = ast.get_docstring(node) or ""
                words = re.sub(r"\W+", "_", text.lower()).strip("_")
                if not text.rstrip().endswith((".", ":")) or words == node.name.removeprefix("test_"):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert tests > 1000
    assert found == []


def test_a_fault_of_style_is_found_with_its_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A docstring with a banned opening and a line with a banned word are both reported by file and line."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "module.py"
    path.write_text('def one():\n    """Give one."""\n\n\nx = None if one is None else 1  # or whoever calls\n')
    found = list(faults(path))
    assert [fault.split(": ")[0] for fault in found] == ["module.py:2", "module.py:5"]
