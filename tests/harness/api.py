"""A client of the service in either dialect that checks of every response what must be true of all of them."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

import httpx

from app.errors.codes import ErrorCode
from app.http.dialect import Dialect

type Json = Any

PATIENCE_SECONDS = 100
"""Time for a response on a machine that does much else at the same time."""

# What may stand in no response: addresses, file names, stack traces, the query language of the database.
INTERNAL = re.compile(
    r"https?://|mongodb|Traceback|File \"|site-packages|\.py\b|/api/v1|localhost|127\.0\.0\.1|\$set|E11000"
)
_CAPITAL = re.compile("[A-Z]")


class ApiResponse:
    """A response whose body, where it is JSON, is spelled in camelCase whatever the dialect; numbers are Decimals."""

    def __init__(self, response: httpx.Response, dialect: Dialect) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.text = response.text
        self._dialect = dialect
        self._is_json = response.headers.get("content-type", "").startswith("application/json")
        assert re.fullmatch(r"[0-9A-Za-z._:-]{1,128}", response.headers["X-Correlation-ID"])
        if self.status >= 400 and response.request.method != "HEAD":
            self._check_envelope()

    @property
    def body(self) -> Json:
        """The body, which has been checked to be spelled in the dialect throughout."""
        return self._in_camel_case(self.exact)

    @property
    def exact(self) -> Json:
        """The body as it was sent."""
        assert self._is_json, self.headers
        return json.loads(self.text, parse_float=_plain, parse_constant=_refuse)

    @property
    def error(self) -> Json:
        """The inner object of the error envelope."""
        return self.body["error"]

    @property
    def code(self) -> str:
        """The error's code."""
        return str(self.error["code"])

    @property
    def rules(self) -> dict[str, str]:
        """The rules that a request broke, by the field's path."""
        assert self.code == "VALIDATION_ERROR", self.text
        return {each["field"]: each["rule"] for each in self.error["details"]["errors"]}

    def expect(self, status: int, code: str | None = None) -> Self:
        """Return this response; fail unless it has the status, and the code if one is expected."""
        assert self.status == status, f"{self.status} instead of {status}: {self.text[:1000]}"
        assert code is None or self.code == code, self.text[:1000]
        return self

    def _check_envelope(self) -> None:
        outer = self.exact
        expected = {"error"} if self._dialect is Dialect.STANDARD else {"error", "detail"}
        assert set(outer) == expected, self.text
        error = self.body["error"]
        assert list(error) == ["code", "message", "details", "timestamp", "traceId"]
        assert ErrorCode(error["code"]).status == self.status
        assert isinstance(error["details"], dict)
        assert error["message"]
        assert outer.get("detail", error["message"]) == error["message"]
        assert error["timestamp"].endswith("Z")
        assert abs(datetime.fromisoformat(error["timestamp"]) - datetime.now(UTC)).total_seconds() < 60
        assert error["traceId"] == self.headers["X-Correlation-ID"]
        assert not INTERNAL.search(self.text), self.text

    def _in_camel_case(self, value: Json) -> Json:
        match value:
            case dict():
                return {self._name(name): self._in_camel_case(inner) for name, inner in value.items()}
            case list():
                return [self._in_camel_case(inner) for inner in value]
            case _:
                return value

    def _name(self, name: str) -> str:
        if self._dialect is Dialect.STANDARD:
            assert "_" not in name, f"{name} in the standard dialect"
            return name
        assert not _CAPITAL.search(name), f"{name} in the suite's dialect"
        return re.sub("_([a-z])", lambda match: match[1].upper(), name)


class Api:
    """The service at a URL, spoken to in its dialect by callers who write camelCase.

    Args:
        url: of the service.
        dialect: its dialect.
        keep_alive: whether a connection serves several requests; not at a service that soon closes idle connections,
            perhaps while a request is being sent.
    """

    def __init__(self, url: str, dialect: Dialect, *, keep_alive: bool = True) -> None:
        self.url = url
        self.dialect = dialect
        limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **params: object) -> ApiResponse:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Json = None, **params: object) -> ApiResponse:
        return self.call("POST", path, body, params=params)

    def put(self, path: str, body: Json = None, **params: object) -> ApiResponse:
        return self.call("PUT", path, body, params=params)

    def delete(self, path: str, body: Json = None, **params: object) -> ApiResponse:
        return self.call("DELETE", path, body, params=params)

    def call(
        self,
        method: str,
        path: str,
        body: Json = None,
        *,
        params: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiResponse:
        """Call a path below `/api/v1`; a body of bytes is sent as it is, anything else as JSON in the dialect."""
        content = body if isinstance(body, bytes) else None if body is None else json_bytes(self.spell(body))
        return self.raw(
            method,
            f"/api/v1{path}",
            content=content,
            params={name: str(value) for name, value in params.items()} if params else None,
            headers={**({} if content is None else {"Content-Type": "application/json"}), **(headers or {})},
        )

    def raw(self, method: str, path: str, **request: Any) -> ApiResponse:
        """Call any path with exactly what is given."""
        return ApiResponse(self._client.request(method, path, **request), self.dialect)

    def spell(self, value: Json) -> Json:
        """Spell the names in a body."""
        match value:
            case dict():
                return {self.name(name): self.spell(inner) for name, inner in value.items()}
            case list():
                return [self.spell(inner) for inner in value]
            case _:
                return value

    def name(self, camel_case: str) -> str:
        """Spell a name, or a path of them."""
        if self.dialect is Dialect.STANDARD:
            return camel_case
        return _CAPITAL.sub(lambda match: "_" + match[0].lower(), camel_case)


class Literal(str):
    """JSON that is written exactly as given."""

    __slots__ = ()


def json_bytes(value: Json) -> bytes:
    """Write JSON; Decimals as the numbers they are, `Literal`s as they are."""

    def written(inner: Json) -> str:
        match inner:
            case Literal():
                return str(inner)
            case Decimal():
                return f"{inner:f}"
            case dict():
                return "{" + ",".join(f"{json.dumps(name)}:{written(each)}" for name, each in inner.items()) + "}"
            case list() | tuple():
                return "[" + ",".join(written(each) for each in inner) + "]"
            case _:
                return json.dumps(inner)

    return written(value).encode()


def _plain(number: str) -> Decimal:
    assert "e" not in number.lower(), f"{number} is written with an exponent"
    return Decimal(number)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
