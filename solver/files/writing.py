"""Output that is written completely or not at all."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from solver.files.problems import InvalidFile


def write_completely(path: Path, content: str) -> None:
    """Write a file by renaming a complete one, so that a reader sees the old content or the new.

    Raises:
        InvalidFile: it cannot be written; nothing is left behind.
    """
    temporary: str | None = None
    try:
        # The target of a link is replaced, and not the link.
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise InvalidFile(str(path), "is not a regular file, so nothing was written to it")
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask())
        Path(temporary).replace(path)
    except OSError as error:
        raise InvalidFile(str(path), f"cannot be written: {error.strerror or error}") from None
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    """Return the mask of new files, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
