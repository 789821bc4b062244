"""Replaces a correct reply by each kind of garbage."""

import re
from collections.abc import Callable, Iterator

import msgspec

from integrations.simulator.faults.kinds import GarbageKind
from integrations.simulator.reply import Reply

_PRICE = re.compile(rb'("(?:open|close|high|low)":)([0-9.]+)')
_QUANTITY = re.compile(rb'("quantity(?:Long|Short)":)"[^"]*"')
_LAST_PAGE = re.compile(rb'("has(?:More|Next)":)false')
_PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body><h1>It works</h1></body></html>"
_DEPTH = 100_000
_MILLION, _ROWS_A_CHUNK = 1_000_000, 1_000

_rows = msgspec.json.Decoder(list[msgspec.Raw])
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def million_rows(body: bytes) -> Iterator[bytes]:
    """Yield the list of this reply with its first row a million times, in pieces; an empty list has a million nulls."""
    before, rows, after = _split(body)
    row = rows[0] if rows else b"null"
    chunk = b",".join([row] * _ROWS_A_CHUNK)
    yield before
    for sent in range(0, _MILLION, _ROWS_A_CHUNK):
        yield chunk if sent == 0 else b"," + chunk
    yield after


def _split(body: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Return what precedes the rows of a reply, the rows, and what follows; a reply without a list is one row."""
    if body.startswith(b"["):
        return b"[", [bytes(row) for row in _rows.decode(body)], b"]"
    for value in _object.decode(body).values():
        if bytes(value).startswith(b"["):
            before, after = body.split(bytes(value), 1)
            return before + b"[", [bytes(row) for row in _rows.decode(value)], b"]" + after
    return b"[", [body], b"]"


def _with_wrong_types(value: object) -> object:
    match value:
        case dict():
            return {name: _with_wrong_types(inner) for name, inner in value.items()}
        case list():
            return [_with_wrong_types(inner) for inner in value]
        case str():
            return 42
        case _:
            return "wrong"


def _doubled(body: bytes) -> bytes:
    before, rows, after = _split(body)
    return before + b",".join(row for row in rows for _ in range(2)) + after


_NONSENSE: dict[GarbageKind, Callable[[bytes], bytes]] = {
    GarbageKind.EMPTY: lambda _: b"",
    GarbageKind.HTML: lambda _: _PAGE,
    GarbageKind.TRUNCATED_JSON: lambda body: body[: len(body) // 2],
    GarbageKind.WRONG_TYPES: lambda body: msgspec.json.encode(_with_wrong_types(msgspec.json.decode(body))),
    GarbageKind.WRONG_SHAPE: lambda body: b'{"items":' + body + b"}" if body[:1] == b"[" else b"[" + body + b"]",
    GarbageKind.DEEP: lambda _: b"[" * _DEPTH + b"]" * _DEPTH,
    GarbageKind.NAN: lambda body: _QUANTITY.sub(rb'\1"NaN"', _PRICE.sub(rb"\1NaN", body)),
    GarbageKind.HUGE: lambda body: _QUANTITY.sub(rb'\1"1E+999999"', _PRICE.sub(rb"\g<1>1E+400", body)),
    GarbageKind.NEGATIVE_PRICES: lambda body: _PRICE.sub(rb"\1-\2", body),
    GarbageKind.ZERO_PRICES: lambda body: _PRICE.sub(rb"\g<1>0.00", body),
    GarbageKind.DUPLICATES: _doubled,
    GarbageKind.ENDLESS_PAGES: lambda body: _LAST_PAGE.sub(rb"\1true", body),
    GarbageKind.MILLION_ROWS: lambda body: b"".join(million_rows(body)),
}


def garble(kind: GarbageKind, reply: Reply) -> Reply:
    """Return garbage of this kind in place of a JSON reply; a million rows are one piece here."""
    content_type = "text/html" if kind is GarbageKind.HTML else reply.content_type
    return Reply(_NONSENSE[kind](reply.body), content_type=content_type)
