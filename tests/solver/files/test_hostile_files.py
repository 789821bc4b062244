"""Files that are not what they claim to be do no harm, and nothing is written unless everything is."""

import gzip
import io
import os
import resource
import time
import zipfile
from pathlib import Path

import pytest

from tests.solver.files.planning import plan, rejection, trades

HELD = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\n"
TARGETS = "symbol,target\nAAA,50%\nBBB,40%\n"


def workbook() -> bytes:
    """Return a ZIP archive that unpacks to far more than it is."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", b"0" * 50_000_000)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (workbook(), "ZIP archive or an Excel workbook"),
        (gzip.compress(HELD.encode()), "compressed with gzip"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), "old Excel workbook"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<html><table><tr><td>AAA</td></tr></table></html>", "HTML"),
        (b"\x7fELF\x02\x01\x01\x00" + bytes(200), "binary"),
        (HELD.encode() + b"\x00\x01\x02", "binary"),
        (b"symbol,quantity,price\nA\x1b[2JA,1,2\n", "control character U+001B"),
        (b"symbol,quantity,price\n\x81\x8d\x8f,1,2\n", "neither UTF-8 nor Windows-1252"),
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\n\n\n", "is empty"),
        (b'symbol,quantity,price\nAAA,"100,10\nBBB,50,20\n', "a quotation mark opens a cell that is never closed"),
        (b'symbol,quantity,price\nAAA,"1"00,10\n', "line 2"),
        (b"symbol,quantity,price\n" + b"A" * 200_000 + b",1,1\n", "more than 131,072 characters"),
        (b"symbol,quantity,price\n" + b"A" * 300 + b",1,1\n", "more than 200 characters"),
        ("symbol,quantity,price\nA\u202eAA,1,1\n".encode(), "invisible character U+202E"),
        ("symbol,quantity,price\nA\u200bAA,1,1\n".encode(), "invisible character U+200B"),
        (b"symbol,quantity,price\n" + b"," * 5000, "has no price"),
    ],
    ids=[
        "zip",
        "gzip",
        "xls",
        "pdf",
        "html",
        "elf",
        "nul",
        "escape",
        "unknown encoding",
        "empty",
        "only a mark",
        "blank",
        "open quotation",
        "text after a quotation",
        "long cell",
        "long name",
        "direction",
        "zero width",
        "only commas",
    ],
)
def test_what_is_no_table_is_rejected(content: bytes, problem: str, tmp_path: Path) -> None:
    """Archives, binaries, wrong encodings and broken quotation marks are named for what they are."""
    assert problem in rejection(tmp_path, content, TARGETS)


def test_a_file_of_a_million_lines_is_rejected_in_seconds_and_bounded_memory(tmp_path: Path) -> None:
    """The limit of 100,000 lines is applied while the file is read."""
    content = b"symbol,quantity,price\n" + b"".join(b"S%d,1,1\n" % index for index in range(1_000_000))
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    error = rejection(tmp_path, content, TARGETS)
    assert time.process_time() - started < 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
    assert "holdings.csv: has more than 100,000 lines" in error
    assert "cannot be read" not in error


def test_a_file_may_have_as_many_lines_as_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line beyond the limit is an error."""
    monkeypatch.setattr("solver.files.text.MAXIMUM_LINES", 3)
    held = "symbol,quantity,price\nAAA,10,10\nBBB,10,20\n"
    assert plan(tmp_path, held, TARGETS).code == 0
    assert "has more than 3 lines" in rejection(tmp_path, held + "CCC,1,1\n", TARGETS)


def test_an_endless_file_is_rejected() -> None:
    """A device without end, and without lines, is read up to the limit of bytes."""
    if not Path("/dev/zero").exists():
        pytest.skip("there is no /dev/zero")
    error = rejection_of(Path("/dev/zero"))
    assert "larger than 64 MiB" in error


def rejection_of(path: Path) -> str:
    """Return why a file is rejected as holdings."""
    from solver.files.problems import InvalidFile  # noqa: PLC0415 - only here
    from solver.files.text import read_text  # noqa: PLC0415

    with pytest.raises(InvalidFile) as rejected:
        read_text(path)
    return str(rejected.value)


def test_a_named_pipe_without_a_writer_does_not_wait(tmp_path: Path) -> None:
    """A pipe that nobody writes is an empty file."""
    os.mkfifo(tmp_path / "pipe")
    assert "is empty" in rejection_of(tmp_path / "pipe")


def test_files_that_cannot_be_opened_are_named(tmp_path: Path) -> None:
    """Missing files, directories and impossible names are no tracebacks."""
    assert "does not exist" in rejection(tmp_path, tmp_path / "missing.csv", TARGETS)
    assert "is a directory" in rejection(tmp_path, tmp_path, TARGETS)
    assert "cannot be read" in rejection(tmp_path, Path("a\0b"), TARGETS)


@pytest.mark.parametrize("name", ["=1+1", "+A", "-A", "@SUM(A1)", "=cmd|' /C calc'!A0"])
def test_formulas_are_neutralised_in_csv(name: str, tmp_path: Path) -> None:
    """A name that a spreadsheet would run is text in the output."""
    out = tmp_path / "trades.csv"
    held = f'symbol,quantity,price\n"{name}",100,10\n'
    assert (
        plan(tmp_path, held, TARGETS, prices="symbol,price\nAAA,10\nBBB,20\n" + f'"{name}",10\n', out=str(out)).code
        == 0
    )
    line = next(line for line in out.read_text().splitlines() if line.startswith("SELL"))
    assert line.split(",")[1].lstrip('"').startswith("'")


def test_markup_is_text_in_the_report(tmp_path: Path) -> None:
    """No name becomes an element or an attribute of the HTML report."""
    out = tmp_path / "report.html"
    name = '<img src=x onerror="alert(1)">&"\'</script>'
    quoted = name.replace('"', '""')
    held = f'symbol,quantity,price\n"{quoted}",100,10\nBBB,10,20\nAAA,1,10\n'
    assert plan(tmp_path, held, TARGETS, out=str(out)).code == 0
    content = out.read_text()
    assert "<img" not in content
    assert "</script>" not in content
    assert "&lt;img src=x onerror=&quot;alert(1)&quot;&gt;" in content


@pytest.mark.parametrize("out", ["trades.txt", "trades", "missing/trades.csv", "trades.xlsx"])
def test_an_output_that_cannot_be_written_is_known_before_the_computation(out: str, tmp_path: Path) -> None:
    """The name is checked before anything is read."""
    error = rejection(tmp_path, HELD, TARGETS, out=str(tmp_path / out))
    assert error.startswith("error: --out:")


def test_an_input_is_never_overwritten(tmp_path: Path) -> None:
    """The output must not be one of the inputs, under whatever name."""
    (tmp_path / "link.csv").symlink_to(tmp_path / "holdings.csv")
    for name in ("holdings.csv", "link.csv"):
        outcome = plan(tmp_path, HELD, TARGETS, out=str(tmp_path / name))
        assert outcome.code == 1
        assert "must not be overwritten" in outcome.error
        assert (tmp_path / "holdings.csv").read_text() == HELD


def test_an_existing_output_stays_whole_if_the_plan_fails(tmp_path: Path) -> None:
    """A rejected plan leaves the old file as it was; a new one replaces it completely."""
    out = tmp_path / "trades.csv"
    out.write_text("old")
    infeasible = "symbol,target,drift\nAAA,50.25%,0%\nBBB,40%,0%\n"
    outcome = plan(tmp_path, HELD, infeasible + "\n", out=str(out))
    assert outcome.code == 1
    assert out.read_text() == "old"
    assert plan(tmp_path, HELD, TARGETS, out=str(out)).code == 0
    assert out.read_text().startswith("transactionType,")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holdings.csv", "targets.csv", "trades.csv"]


def test_an_infeasible_plan_names_the_security(tmp_path: Path) -> None:
    """The reason is the same sentence as everywhere, and the exit code is not zero."""
    error = rejection(tmp_path, HELD, "symbol,target,drift\nAAA,50.25%,0.1%\nBBB,40%,1%\n")
    assert "Security AAA at 10 has no whole number of shares worth" in error


def test_a_directory_as_output_is_rejected(tmp_path: Path) -> None:
    """Nothing is written into or over a directory."""
    (tmp_path / "out.csv").mkdir()
    outcome = plan(tmp_path, HELD, TARGETS, out=str(tmp_path / "out.csv"))
    assert outcome.code == 1
    assert "not a regular file" in outcome.error


def test_a_sentence_with_many_cells_of_white_space_is_harmless(tmp_path: Path) -> None:
    """Blank rows, padded rows and trailing delimiters change nothing."""
    held = ",,,,\nsymbol,quantity,price,,\n,,,,\nAAA,100,10,,\n  ,  ,  \nBBB,50,20\n\nData as of today.,,,,\n"
    assert trades(tmp_path, held, TARGETS) == {"BBB": "-10"}
