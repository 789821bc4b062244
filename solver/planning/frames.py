"""Data frames of pandas, polars and other libraries, in and out, through narwhals; an extra of the distribution."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from solver.planning.exact import InvalidInput

if TYPE_CHECKING:
    from types import ModuleType


class Frame:
    """The columns of a data frame."""

    def __init__(self, headers: list[str], columns: list[list[object]]) -> None:
        """Keep the columns by their headers."""
        self.headers = headers
        self.columns = columns


def is_frame(value: object) -> bool:
    """Return whether a value is a data frame: its type has columns and a shape."""
    kind = type(value)  # reading the columns of a lazy frame would resolve them
    return hasattr(kind, "columns") and (hasattr(kind, "shape") or hasattr(kind, "collect"))


def read_frame(value: object) -> Frame:
    """Read a data frame; an index with text, as pandas has it, becomes the column of securities.

    Raises:
        ImportError: the extra `frames` is not installed.
        InvalidInput: it is not a data frame.
    """
    narwhals = _narwhals()
    try:
        frame = narwhals.from_native(value)
    except TypeError as error:
        raise InvalidInput(f"{type(value).__name__} is not a data frame that can be read: {error}") from None
    if hasattr(frame, "collect"):
        frame = frame.collect()
    headers = [str(name) for name in frame.columns]
    columns = [[_cell(cell) for cell in frame[name].to_list()] for name in frame.columns]
    index = narwhals.maybe_get_index(frame)
    if index is not None:
        labels = list(index)
        if labels and all(isinstance(label, str) for label in labels):
            headers.insert(0, str(getattr(index, "name", None) or "security"))
            columns.insert(0, labels)
    return Frame(headers, columns)


def make_frame(columns: Mapping[str, list[object]], backend: "str | ModuleType") -> Any:
    """Return a native data frame of the named library.

    Raises:
        ImportError: the extra `frames` or the library is not installed.
    """
    return _narwhals().from_dict(dict(columns), backend=backend).to_native()


def _cell(cell: object) -> object:
    """Return a cell, None if it is one of the ways in which frames mark a missing value."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and cell != cell):
        return None
    return cell


def _narwhals() -> Any:
    try:
        import narwhals  # noqa: PLC0415 - an extra
    except ImportError:
        raise ImportError("data frames need the extra 'frames': pip install 'globeco-solver[frames]'") from None
    return narwhals
