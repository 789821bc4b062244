"""The settings: read from the environment once, at start-up; each that is wrong is reported in one clear line."""

import math
import os
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct
from msgspec.inspect import BoolType, EnumType, FloatType, IntType, LiteralType, StrType, UnionType
from msgspec.structs import FieldInfo

from app.errors.codes import InvalidSetting, InvalidSettings
from app.http.dialect import Dialect
from persistence import is_connection_string, unreadable_file
from solver import SolverStrategy

type Port = Annotated[int, Meta(ge=1, le=65535)]
type Seconds = Annotated[float, Meta(gt=0, le=86400)]
type CacheSeconds = Annotated[float, Meta(ge=0, le=86400)]

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time and of the period they are for, or `max`; what `docker run --cpus` and limits set."""

MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where control groups of version 2 and 1 show a container its limit."""
MEBIBYTE = 2**20
NO_MEMORY_LIMIT_MEBIBYTES = 2**32
"""Version 1 shows a huge number if there is no limit."""
AT_REST_MEBIBYTES = 320
"""For everything but solving: the server, its worker with what callers make it hold, and solver processes at rest."""
LEAST_SOLVER_MEBIBYTES = 64

EMBEDDED = "embedded"
"""The `MONGODB_URL` that starts the bundled mongod."""

STATELESS = "none"
"""The `MONGODB_URL` of an optimiser without a database and upstream services."""


def available_processors() -> int:
    """Return the processors that this process may keep busy: those it may run on, or fewer by a container's quota."""
    processors = os.process_cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
    except (OSError, ValueError):  # no control group of the second version, so no quota that could be read
        return processors
    return processors if quota == "max" else max(1, min(processors, math.ceil(int(quota) / int(period))))


def solver_memory(processes: int) -> int:
    """Return how many MiB each solver process may take beside what it has at rest, so that all fit into the container.

    0 stands for no limit, if the container has none.
    """
    for file in MEMORY_LIMITS:
        try:
            limit = int(file.read_text()) // MEBIBYTE
        except (OSError, ValueError):  # no such file, or the limit is `max`
            continue
        if limit < NO_MEMORY_LIMIT_MEBIBYTES:
            return max(LEAST_SOLVER_MEBIBYTES, (limit - AT_REST_MEBIBYTES) // processes)
    return 0


class Settings(Struct, frozen=True, kw_only=True, rename="upper"):
    """Every setting of the service; the environment variable is the field's name in upper case."""

    host: Annotated[str, Meta(min_length=1)] = "0.0.0.0"  # noqa: S104 - a container listens on every address
    port: Port = 8080
    mongodb_url: str = "mongodb://globeco-order-generation-service-mongodb:27017"
    database_name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,63}$")] = "order_generation"
    portfolio_accounting_service_url: str = "http://globeco-portfolio-accounting-service:8087"
    portfolio_accounting_service_timeout_seconds: Seconds = 10
    pricing_service_url: str = "http://globeco-pricing-service:8083"
    pricing_service_timeout_seconds: Seconds = 10
    portfolio_service_url: str = "http://globeco-portfolio-service:8000"
    portfolio_service_timeout_seconds: Seconds = 10
    security_service_url: str = "http://globeco-security-service:8000"
    security_service_timeout_seconds: Seconds = 10
    order_service_url: str = "http://globeco-order-service:8081"
    order_service_timeout_seconds: Seconds = 40
    external_service_retries: Annotated[int, Meta(ge=0, le=10)] = 3
    circuit_breaker_failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    circuit_breaker_reset_seconds: Seconds = 30
    solver_processes: Annotated[int, Meta(ge=1, le=256)] = msgspec.field(default_factory=available_processors)
    solver_memory_mebibytes: Annotated[int, Meta(ge=0, le=1_048_576)] | None = None
    solver_strategy: SolverStrategy = SolverStrategy.AUTO
    solver_timeout_seconds: Seconds = 30
    rebalance_deadline_seconds: Seconds = 60
    request_timeout_seconds: Seconds = 60
    unread_timeout_seconds: Seconds = 90
    drain_seconds: Annotated[int, Meta(ge=1, le=3600)] = 65
    rebalance_concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16
    price_cache_ttl_seconds: CacheSeconds = 60
    security_cache_ttl_seconds: CacheSeconds = 600
    price_max_age_days: Annotated[int, Meta(ge=0, le=36500)] | None = None
    api_dialect: Dialect = Dialect.STANDARD
    trade_date_timezone: str = "UTC"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    log_format: Literal["json", "console"] = "json"
    cors_allow_origins: str = "*"
    orders_enabled: bool = False
    order_max_age_hours: Annotated[float, Meta(gt=0, le=8784)] = 24
    order_lease_seconds: Seconds = 60
    order_quiet_seconds: Seconds = 60
    order_query_interval_seconds: Seconds = 10
    order_sweep_seconds: Seconds = 10
    order_watch_hours: Annotated[float, Meta(gt=0, le=8784)] = 24
    order_response_seconds: Seconds = 8
    order_concurrency: Annotated[int, Meta(ge=1, le=64)] = 4

    def __post_init__(self) -> None:
        """Check what a type cannot say.

        Raises:
            InvalidSetting: naming the variable and what it accepts.
        """
        for field, check in CHECKS.items():
            check(field.upper(), getattr(self, field))
        if self.order_lease_seconds <= self.order_service_timeout_seconds:
            raise InvalidSetting(
                "ORDER_LEASE_SECONDS",
                "accepts a number of seconds above ORDER_SERVICE_TIMEOUT_SECONDS",
                f"{self.order_lease_seconds:g}",
            )

    @property
    def solver_memory_bytes(self) -> int | None:
        """How much more than at rest a solver process may take; None sets no limit."""
        chosen = self.solver_memory_mebibytes
        mebibytes = solver_memory(self.solver_processes) if chosen is None else chosen
        return mebibytes * MEBIBYTE or None

    @property
    def stateless(self) -> bool:
        """Whether the service runs as an optimiser without a database and upstream services."""
        return self.mongodb_url == STATELESS

    @property
    def allowed_origins(self) -> list[str]:
        """The origins that browsers may call from."""
        return split_list(self.cors_allow_origins)


def check_service_url(variable: str, url: str) -> None:
    """Reject a base URL that could not be called, or that already has the API's path."""
    found = None if "@" in url else url
    rejection = InvalidSetting(variable, "accepts a base URL such as `http://host:8080`", found)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the port is not a number, or too large
        raise rejection from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise rejection
    if any(character.isspace() for character in url):
        raise rejection
    if parts.path.rstrip("/").endswith("/api/v1"):
        raise InvalidSetting(variable, "accepts a base URL without `/api/v1`", found)


def check_mongodb_url(variable: str, url: str) -> None:
    """Reject a connection string that the driver would reject, or that names a file that cannot be read."""
    if url in {EMBEDDED, STATELESS}:
        return
    if (reason := unreadable_file(url)) is not None:
        raise InvalidSetting(variable, f"names files that can be read, but {reason}")
    if not is_connection_string(url):
        raise InvalidSetting(variable, f"accepts a mongodb:// or mongodb+srv:// URL, `{EMBEDDED}` or `{STATELESS}`")


def check_host(variable: str, host: str) -> None:
    """Reject what is not an address."""
    try:
        ip_address(host)
    except ValueError:
        raise InvalidSetting(variable, "accepts an IP address such as `0.0.0.0` or `::`", host) from None


def check_timezone(variable: str, name: str) -> None:
    """Reject a time zone that is not known here."""
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise InvalidSetting(variable, "accepts an IANA time zone such as `America/New_York`", name) from error


def check_origins(variable: str, origins: str) -> None:
    """Reject what no browser sends as an origin."""
    chosen = split_list(origins)
    wrong = [origin for origin in chosen if not (_is_origin(origin) or origin == ANY_ORIGIN)]
    if wrong or not chosen or (ANY_ORIGIN in chosen and len(chosen) > 1):
        raise InvalidSetting(
            variable, "accepts `*`, or origins such as `https://desk.example:8443` separated by commas", origins
        )


def _is_origin(text: str) -> bool:
    parts = _ORIGIN.fullmatch(text)
    return parts is not None and int(parts["port"] or 1) in range(1, 65536)


def split_list(text: str) -> list[str]:
    """Split a comma-separated list."""
    return [part.strip() for part in text.split(",") if part.strip()]


ANY_ORIGIN = "*"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")

SERVICE_URL_FIELDS = tuple(name for name in Settings.__struct_fields__ if name.endswith("_service_url"))
CHECKS: Mapping[str, Callable[[str, str], None]] = {
    **dict.fromkeys(SERVICE_URL_FIELDS, check_service_url),
    "mongodb_url": check_mongodb_url,
    "host": check_host,
    "trade_date_timezone": check_timezone,
    "cors_allow_origins": check_origins,
}
"""Checks of single settings, by field: each raises InvalidSetting."""


def load_settings(environment: Mapping[str, str | None] | None = None) -> Settings:
    """Read and check the settings.

    Args:
        environment: variables to read; by default the process's own over those of a `.env` file beside it.

    Raises:
        InvalidSettings: naming each wrong variable, what it accepts, and its value unless that may be a secret.
    """
    if environment is None:
        environment = {**dotenv_values(".env"), **os.environ}
    values: dict[str, Any] = {}
    faults: list[InvalidSetting] = []
    for field in msgspec.structs.fields(Settings):
        variable = field.name.upper()
        # An empty variable is how a manifest says "not set".
        if found := environment.get(variable):
            try:
                values[field.name] = _read(field, found)
            except InvalidSetting as fault:
                faults.append(fault)
    try:
        settings = Settings(**values)
    except InvalidSetting as fault:
        raise InvalidSettings([*faults, fault]) from None
    if faults:
        raise InvalidSettings(faults)
    return settings


def _read(field: FieldInfo, found: str) -> Any:
    """Read one setting.

    Raises:
        InvalidSetting: it is wrong.
    """
    variable = field.name.upper()
    try:
        value = msgspec.convert(found.upper() if field.name == "log_level" else found, field.type, strict=False)
    except msgspec.ValidationError:
        raise InvalidSetting(variable, f"accepts {_accepted(variable)}", found) from None
    if check := CHECKS.get(field.name):
        check(variable, value)
    return value


def _accepted(variable: str) -> str:
    """Describe the values that a variable accepts, from the type of its field."""
    kind = {field.name.upper(): field.type for field in msgspec.structs.fields(Settings)}[variable]
    match msgspec.inspect.type_info(kind):
        case EnumType(cls=choices):
            return " or ".join(f"`{choice.value}`" for choice in choices)
        case LiteralType(values=choices):
            return " or ".join(f"`{choice}`" for choice in choices)
        case BoolType():
            return "`true` or `false`"
        case IntType(ge=lowest, le=highest):
            return f"a whole number from {lowest} to {highest}"
        case FloatType(ge=lowest, le=highest):
            return f"a number {'above 0' if lowest is None else f'from {lowest:g}'}, at most {highest:g}"
        case UnionType(types=(IntType(ge=lowest, le=highest), _)):
            return f"a whole number from {lowest} to {highest}"
        case StrType(pattern=pattern):
            return f"a text that matches {pattern}" if pattern else "a text that is not empty"
        case other:
            raise AssertionError(f"no setting has the type {other}")
