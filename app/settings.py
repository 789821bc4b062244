"""The settings: read from the environment once, at start-up, and refused in one clear line when they are wrong."""

import math
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import msgspec
from dotenv import dotenv_values
from msgspec import Meta, Struct
from msgspec.inspect import BoolType, EnumType, FloatType, IntType, LiteralType, StrType

from app.errors.codes import InvalidSetting
from app.http.dialect import Dialect
from persistence import is_connection_string
from solver import SolverStrategy

type Port = Annotated[int, Meta(ge=1, le=65535)]
type Seconds = Annotated[float, Meta(gt=0, le=86400)]
type CacheSeconds = Annotated[float, Meta(ge=0, le=86400)]

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""Microseconds of processor time and of the period they are for, or `max`; what `docker run --cpus` and limits set."""

EMBEDDED = "embedded"
"""The `MONGODB_URL` that starts the bundled mongod."""


def available_processors() -> int:
    """Processors this process may keep busy: those it may run on, or less where a container's quota is less."""
    processors = os.process_cpu_count() or 1
    try:
        quota, period = CPU_QUOTA.read_text().split()
    except (OSError, ValueError):  # no control group of the second version, so no quota that could be read
        return processors
    return processors if quota == "max" else max(1, min(processors, math.ceil(int(quota) / int(period))))


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
    solver_strategy: SolverStrategy = SolverStrategy.AUTO
    solver_timeout_seconds: Seconds = 30
    rebalance_deadline_seconds: Seconds = 60
    request_timeout_seconds: Seconds = 60
    unread_timeout_seconds: Seconds = 90
    drain_seconds: Annotated[int, Meta(ge=1, le=3600)] = 65
    rebalance_concurrency: Annotated[int, Meta(ge=1, le=1000)] = 16
    price_cache_ttl_seconds: CacheSeconds = 60
    security_cache_ttl_seconds: CacheSeconds = 600
    api_dialect: Dialect = Dialect.STANDARD
    trade_date_timezone: str = "UTC"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
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
        """Check what a type cannot say."""
        for field in SERVICE_URL_FIELDS:
            check_service_url(field, getattr(self, field))
        if self.mongodb_url != EMBEDDED and not is_connection_string(self.mongodb_url):
            raise InvalidSetting("MONGODB_URL", f"accepts a mongodb:// or mongodb+srv:// URL, or `{EMBEDDED}`")
        if self.order_lease_seconds <= self.order_service_timeout_seconds:
            raise InvalidSetting(
                "ORDER_LEASE_SECONDS", "accepts a number of seconds above ORDER_SERVICE_TIMEOUT_SECONDS"
            )
        try:
            ip_address(self.host)
        except ValueError:
            raise InvalidSetting("HOST", "accepts an IP address such as `0.0.0.0` or `::`") from None
        try:
            ZoneInfo(self.trade_date_timezone)
        except (KeyError, ValueError, OSError) as error:
            raise InvalidSetting(
                "TRADE_DATE_TIMEZONE", "accepts an IANA time zone such as `America/New_York`"
            ) from error

    @property
    def allowed_origins(self) -> list[str]:
        """The origins that browsers may call from."""
        return [origin.strip() for origin in self.cors_allow_origins.split(",") if origin.strip()]


SERVICE_URL_FIELDS = tuple(name for name in Settings.__struct_fields__ if name.endswith("_service_url"))


def check_service_url(field: str, url: str) -> None:
    """Refuse a base URL that could not be called, or that already carries the API's path."""
    refusal = InvalidSetting(field.upper(), "accepts a base URL such as `http://host:8080`")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the port is no number, or too large
        raise refusal from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise refusal
    if parts.path.rstrip("/").endswith("/api/v1"):
        raise InvalidSetting(field.upper(), "accepts a base URL without `/api/v1`")


def load_settings(environment: Mapping[str, str | None] | None = None) -> Settings:
    """Read and check the settings.

    Args:
        environment: variables to read; by default the process's own over those of a `.env` file beside it.

    Raises:
        InvalidSetting: naming the variable and what it accepts. The value is not repeated: it may be a secret.
    """
    if environment is None:
        environment = {**dotenv_values(".env"), **os.environ}
    known = {name.upper() for name in Settings.__struct_fields__}
    # An empty variable is how a manifest says "not set".
    chosen = {name: value for name, value in environment.items() if name in known and value}
    chosen = {name: value.upper() if name == "LOG_LEVEL" and value else value for name, value in chosen.items()}
    try:
        return msgspec.convert(chosen, Settings, strict=False)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, InvalidSetting):
            raise error.__cause__ from None
        variable = str(error).rpartition("`$.")[2].rstrip("`")
        raise InvalidSetting(variable, f"accepts {_accepted(variable)}") from None


def _accepted(variable: str) -> str:
    """Say what a variable takes, from the type of its field."""
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
        case StrType(pattern=pattern):
            return f"a text that matches {pattern}" if pattern else "a text that is not empty"
        case other:
            raise AssertionError(f"no setting has the type {other}")
