"""Text from a file of unknown origin: the encodings of spreadsheets and brokers, with everything else rejected."""

import codecs
import os
import stat
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from solver.files.problems import InvalidFile

MAXIMUM_LINES = 100_000
MAXIMUM_BYTES = 64 * 2**20
_CHUNK = 2**20

_SIGNATURES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (.xlsx): save the sheet as CSV"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls): save the sheet as CSV"),
    (b"%PDF", "a PDF document: download the CSV export instead"),
    (b"\x1f\x8b", "compressed with gzip: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"(\xb5/\xfd", "compressed with zstd: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 text with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16 text with a byte order mark"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16 text with a byte order mark"),
)


class Text(Struct, frozen=True):
    """The text of a file.

    Attributes:
        file: the name for messages.
        content: decoded, without a byte order mark.
        encoding: its name, for a person.
    """

    file: str
    content: str
    encoding: str


def read_table_text(path: Path) -> Text:
    """Read a text file that should contain a table.

    Raises:
        InvalidFile: it cannot be read, or is of another kind.
    """
    text = read_text(path)
    start = text.content[:1000].lstrip().lower()
    if start.startswith(("<!doctype", "<html", "<?xml", "<table")):
        raise InvalidFile(text.file, "is HTML or XML, not CSV: save it as CSV")
    if start.startswith(("{", "[{")):
        raise InvalidFile(text.file, "is JSON, not CSV: export a table as CSV")
    return text


def read_text(path: Path) -> Text:
    """Read a text file of at most 100,000 lines and 64 MiB.

    Raises:
        InvalidFile: it cannot be opened, is too large, or is not text.
    """
    file = str(path)
    data = _read(path, file)
    for signature, kind in _SIGNATURES:
        if data.startswith(signature):
            raise InvalidFile(file, f"is {kind}")
    text = _decode(data, file)
    if not text.content.strip():
        raise InvalidFile(file, "is empty")
    return text


def _read(path: Path, file: str) -> bytes:
    """Read in chunks, so that a file of any size costs no more memory than the limit."""
    chunks: list[bytes] = []
    size = lines = 0
    try:
        # Without O_NONBLOCK, opening a named pipe that nobody writes would wait forever.
        with open(path, "rb", opener=_open_without_waiting) as opened:
            while chunk := opened.read(_CHUNK):
                size += len(chunk)
                lines += chunk.count(b"\n") or chunk.count(b"\r")
                if lines > MAXIMUM_LINES:
                    raise InvalidFile(file, f"has more than {MAXIMUM_LINES:,} lines, which is the limit")
                if size > MAXIMUM_BYTES:
                    raise InvalidFile(file, f"is larger than {MAXIMUM_BYTES // 2**20} MiB, which is the limit")
                chunks.append(chunk)
    except InvalidFile:
        raise
    except FileNotFoundError:
        raise InvalidFile(file, "does not exist") from None
    except IsADirectoryError:
        raise InvalidFile(file, "is a directory") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidFile(file, f"cannot be read: {reason}") from None
    return b"".join(chunks)


def _open_without_waiting(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISDIR(mode):
        os.close(descriptor)
        raise IsADirectoryError
    if hasattr(os, "set_blocking"):
        os.set_blocking(descriptor, True)
    return descriptor


def _decode(data: bytes, file: str) -> Text:
    for mark, codec, name in _MARKS:
        if data.startswith(mark):
            try:
                return _checked(Text(file, data.decode(codec), name))
            except UnicodeDecodeError:
                raise InvalidFile(file, f"starts as {name}, but is not valid") from None
    if b"\x00" in data[:4096]:
        # Spreadsheets write UTF-16 without a mark, too: then every second byte of ASCII text is 0.
        for codec, zeros in (("utf-16-le", data[1:4096:2]), ("utf-16-be", data[0:4096:2])):
            if zeros.count(0) > 0.8 * len(zeros):
                with suppress(UnicodeDecodeError):
                    content = data.decode(codec)
                    if _FORBIDDEN.isdisjoint(content):
                        return Text(file, content, "UTF-16 text")
        raise InvalidFile(file, "is a binary file, not CSV")
    try:
        return _checked(Text(file, data.decode("utf-8"), "UTF-8 text"))
    except UnicodeDecodeError:
        pass
    try:
        return _checked(Text(file, data.decode("cp1252"), "Windows-1252 text, as it is not valid UTF-8"))
    except UnicodeDecodeError:
        raise InvalidFile(file, "is neither UTF-8 nor Windows-1252 text: save it as UTF-8") from None


def _checked(text: Text) -> Text:
    controls = set(text.content) & _FORBIDDEN
    if controls:
        place = min(map(text.content.index, controls))
        before = text.content[:place]
        raise InvalidFile(
            text.file,
            f"contains the control character U+{ord(text.content[place]):04X}, so it is not CSV text",
            line=1 + max(before.count("\n"), before.count("\r")),
        )
    return text


_FORBIDDEN = frozenset(map(chr, range(32))) - set("\t\n\r\f\v") | {"\x7f"}
