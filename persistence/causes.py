"""Why the database cannot be used, in words for callers and for the log, without credentials."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.errors import ConfigurationError, ConnectionFailure, NotPrimaryError, OperationFailure, PyMongoError

from persistence.errors import DatabaseUnavailable

_AUTHENTICATION_CODES: Final = frozenset({13, 18, 8000})
_KINDS: Final = (
    (re.compile(r"Errno 111|Connection refused|Connect call failed", re.IGNORECASE), "connection refused"),
    (re.compile(r"Name or service not known|getaddrinfo|nodename nor servname|Errno -[235]\b"), "host name not found"),
    (re.compile(r"DNS|NXDOMAIN|SRV", re.IGNORECASE), "host name not found"),
    (re.compile(r"SSL|TLS|certificate", re.IGNORECASE), "TLS handshake failed"),
    (re.compile(r"No route|unreachable|Errno 113|Errno 101", re.IGNORECASE), "host unreachable"),
    (re.compile(r"timed out|timeout", re.IGNORECASE), "no response in time"),
)
_LONGEST: Final = 300
_CONFIGURED: Final = re.compile(r" \(configured timeouts: [^)]*\)")


def unavailable(error: PyMongoError, client: AsyncMongoClient[Any]) -> DatabaseUnavailable:
    """Describe a failure of the driver: a reason for callers, and a cause with hosts for the log."""
    match error:
        case NotPrimaryError():
            return DatabaseUnavailable("the server is not the primary", f"{_hosts(client)}: not the primary")
        case ConnectionFailure():
            return no_response(client, default=_kind(str(error)) or "connection lost")
        case OperationFailure(code=code) if code in _AUTHENTICATION_CODES:
            reason = "authentication failed"
            return DatabaseUnavailable(reason, f"{_hosts(client)}: {reason} ({_named(error)})")
        case OperationFailure() if error.timeout:
            return DatabaseUnavailable("no response in time", f"{_hosts(client)}: no response in time")
        case OperationFailure():
            return DatabaseUnavailable(
                f"error {_named(error)}", f"{_hosts(client)}: error {_named(error)}: {str(error)[:_LONGEST]}"
            )
        case ConfigurationError():
            return DatabaseUnavailable(_kind(str(error)) or "invalid configuration", str(error))
        case _:
            reason = _kind(str(error)) or "no response in time" if error.timeout else type(error).__name__
            return DatabaseUnavailable(reason, f"{_hosts(client)}: {reason}: {error}")


def no_response(client: AsyncMongoClient[Any], *, default: str = "no response in time") -> DatabaseUnavailable:
    """Describe a database that did not respond, with the reason that the driver's monitors found for each host."""
    faults = dict(_faults_by_host(client))
    kinds = {_kind(fault) for fault in faults.values()} - {None}
    reason = kinds.pop() if len(kinds) == 1 else None
    described = "; ".join(f"{host}: {_kind(fault) or fault} ({fault})" for host, fault in faults.items())
    return DatabaseUnavailable(reason or default, described or f"{_hosts(client)}: {default}")


def _faults_by_host(client: AsyncMongoClient[Any]) -> Iterator[tuple[str, str]]:
    for address, server in client.topology_description.server_descriptions().items():
        if server.error is not None:
            host = _address(address)
            yield host, _CONFIGURED.sub("", str(server.error)).removeprefix(f"{host}: ")


def _hosts(client: AsyncMongoClient[Any]) -> str:
    return ", ".join(map(_address, client.topology_description.server_descriptions()))


def _address(address: tuple[str, int | None]) -> str:
    host, port = address
    return host if port is None else f"{host}:{port}"


def _kind(text: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if pattern.search(text)), None)


def _named(error: OperationFailure) -> str:
    """Return the number and, if the server sent it, the name of an error, such as `11601 Interrupted`."""
    details: Mapping[str, Any] = error.details or {}
    name = details.get("codeName") or (details.get("writeConcernError") or {}).get("codeName") or ""
    return f"{error.code} {name}".strip()
