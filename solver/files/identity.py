"""Which security a row is about, and which rows of several files are about the same one."""

import unicodedata
from collections.abc import Iterable, Sequence

from msgspec import Struct

from solver.files.problems import InvalidFile, shown
from solver.files.table import Row, Table
from solver.planning.columns import IDENTIFIERS, Role

_LONGEST = 200


class Identified(Struct, frozen=True):
    """The identifiers of a security in one row."""

    file: str
    line: int
    names: dict[Role, str]

    def describe(self) -> str:
        """Name the security for a message."""
        return shown(next(iter(self.names.values())))


def identified(table: Table, row: Row) -> Identified:
    """Read the identifiers of a row.

    Raises:
        InvalidFile: it has none, or one that is not printable.
    """
    names: dict[Role, str] = {}
    for role in IDENTIFIERS:
        for index in table.roles.get(role, []):
            name = unicodedata.normalize("NFC", row.record.cell(index)).strip("*").strip()
            if not name or role in names:
                continue
            if len(name) > _LONGEST:
                raise table.problem(f"the {role.value} has more than {_LONGEST} characters", row, index)
            for char in name:
                if not char.isprintable() and char != "\xa0":
                    raise table.problem(
                        f"the {role.value} contains the invisible character U+{ord(char):04X}: remove it", row, index
                    )
            names[role] = " ".join(name.split())
    if not names:
        raise table.problem("the row has no security", row)
    return Identified(table.file, row.line, names)


def common_role(groups: Sequence[tuple[str, Sequence[Identified]]]) -> tuple[Role, ...]:
    """Choose the identifier by which the rows of several files are matched.

    Args:
        groups: the name and the rows of each file; the targets first.

    Returns:
        For each group, the role whose names are compared.

    Raises:
        InvalidFile: the files have no kind of identifier in common, and no value either.
    """
    present = [_complete_roles(rows) for _, rows in groups]
    for role in IDENTIFIERS:
        if all(role in roles or not rows for roles, (_, rows) in zip(present, groups, strict=True)):
            chosen = (role,) * len(groups)
            if role is not Role.NAME or _overlap(groups, chosen):
                return chosen
    for role in IDENTIFIERS[:-1]:
        if all(not rows or any(role in row.names for row in rows) for _, rows in groups):
            return (role,) * len(groups)
    # A column such as "Security" can have symbols, ISINs or names.
    best: tuple[Role, ...] | None = None
    most = 0
    for first in present[0] or [Role.SECURITY_ID]:
        chosen = (first, *(_closest(groups[0][1], first, rows, roles) for (_, rows), roles in
                           zip(groups[1:], present[1:], strict=True)))  # fmt: skip
        overlap = _overlap(groups, chosen)
        if overlap > most:
            best, most = chosen, overlap
    if best is None:
        kinds = "; ".join(
            f"{shown(name)} has {', '.join(role.value for role in roles) or 'no identifier in every row'}"
            for (name, rows), roles in zip(groups, present, strict=True)
            if rows
        )
        raise InvalidFile(groups[0][0], f"the files do not name securities in the same way: {kinds}")
    return best


def _complete_roles(rows: Sequence[Identified]) -> list[Role]:
    return [role for role in IDENTIFIERS if rows and all(role in row.names for row in rows)]


def _closest(targets: Sequence[Identified], role: Role, rows: Sequence[Identified], roles: Sequence[Role]) -> Role:
    wanted = {row.names[role].casefold() for row in targets if role in row.names}
    return max(
        roles or [Role.SYMBOL],
        key=lambda candidate: len(wanted & {row.names.get(candidate, "").casefold() for row in rows}),
    )


def _overlap(groups: Sequence[tuple[str, Sequence[Identified]]], roles: Sequence[Role]) -> int:
    sets = [
        {row.names[role].casefold() for row in rows if role in row.names}
        for (_, rows), role in zip(groups, roles, strict=True)
    ]
    return sum(len(sets[0] & other) for other in sets[1:])


class Names:
    """One spelling for each security; the first one that was read."""

    def __init__(self) -> None:
        """Start without any."""
        self._spellings: dict[str, tuple[str, Identified]] = {}
        self._similar: dict[str, tuple[str, Identified]] = {}

    def add(self, row: Identified, role: Role) -> str:
        """Return the name of a row's security in the spelling that was read first.

        Raises:
            InvalidFile: it differs from another one only by punctuation, so it may be the same security.
        """
        if role not in row.names:
            raise InvalidFile(row.file, f"{row.describe()} has no {role.value}", line=row.line)
        name = row.names[role]
        known = self._spellings.setdefault(name.casefold(), (name, row))
        if role in (Role.SYMBOL, Role.SECURITY_ID):
            self._check_similar(known[0], row)
        return known[0]

    def _check_similar(self, name: str, row: Identified) -> None:
        letters = "".join(char for char in name.casefold() if char.isalnum())
        similar, first = self._similar.setdefault(letters, (name, row))
        if letters and similar != name:
            raise InvalidFile(
                row.file,
                f'"{shown(name)}" and "{shown(similar)}" ({shown(first.file)}, line {first.line}) may be the same'
                " security: spell it in one way",
                line=row.line,
            )


def near(rows: Iterable[Identified], count: int = 3) -> str:
    """Name some securities for a message."""
    names = [row.describe() for row in rows]
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
