"""What the documentation shows of the solver is true."""

import re
from pathlib import Path
from typing import Any

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "mathematics.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_every_example_prints_what_its_comment_says(capsys: pytest.CaptureFixture[str]) -> None:
    """Each `print` in the document produces the text of the comment behind it."""
    namespace: dict[str, Any] = {}
    for example in EXAMPLES:
        exec(example, namespace)
        expected = re.findall(r"print\(.*\)  # (.*)", example)
        assert capsys.readouterr().out.splitlines() == expected
        assert len(expected) == example.count("print("), example
    assert len(EXAMPLES) > 5
