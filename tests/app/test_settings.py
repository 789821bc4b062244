"""The settings: the contract's names and defaults, and a clear line for what is wrong."""

from pathlib import Path

import pytest

from app.errors.codes import InvalidSettings
from app.http.dialect import Dialect
from app.observability.collector import load_collector
from app.settings import Settings, available_processors, load_settings
from solver import SolverStrategy

DEFAULTS = {
    "HOST": "0.0.0.0",
    "PORT": 8080,
    "MONGODB_URL": "mongodb://globeco-order-generation-service-mongodb:27017",
    "DATABASE_NAME": "order_generation",
    "PORTFOLIO_ACCOUNTING_SERVICE_URL": "http://globeco-portfolio-accounting-service:8087",
    "PRICING_SERVICE_URL": "http://globeco-pricing-service:8083",
    "PORTFOLIO_SERVICE_URL": "http://globeco-portfolio-service:8000",
    "SECURITY_SERVICE_URL": "http://globeco-security-service:8000",
    "ORDER_SERVICE_URL": "http://globeco-order-service:8081",
    "PORTFOLIO_ACCOUNTING_SERVICE_TIMEOUT_SECONDS": 10,
    "PRICING_SERVICE_TIMEOUT_SECONDS": 10,
    "PORTFOLIO_SERVICE_TIMEOUT_SECONDS": 10,
    "SECURITY_SERVICE_TIMEOUT_SECONDS": 10,
    "ORDER_SERVICE_TIMEOUT_SECONDS": 40,
    "EXTERNAL_SERVICE_RETRIES": 3,
    "CIRCUIT_BREAKER_FAILURES": 5,
    "CIRCUIT_BREAKER_RESET_SECONDS": 30,
    "SOLVER_PROCESSES": available_processors(),
    "SOLVER_STRATEGY": SolverStrategy.AUTO,
    "SOLVER_TIMEOUT_SECONDS": 30,
    "REBALANCE_DEADLINE_SECONDS": 60,
    "PRICE_CACHE_TTL_SECONDS": 60,
    "SECURITY_CACHE_TTL_SECONDS": 600,
    "PRICE_MAX_AGE_DAYS": None,
    "API_DIALECT": Dialect.STANDARD,
    "TRADE_DATE_TIMEZONE": "UTC",
    "LOG_LEVEL": "INFO",
    "LOG_FORMAT": "json",
    "REQUEST_TIMEOUT_SECONDS": 60,
    "UNREAD_TIMEOUT_SECONDS": 90,
    "CORS_ALLOW_ORIGINS": "*",
}


@pytest.mark.parametrize(("variable", "default"), DEFAULTS.items())
def test_a_variable_that_is_not_set_has_the_contracts_default(variable: str, default: object) -> None:
    """An empty variable counts as unset."""
    for environment in ({}, {variable: ""}):
        assert getattr(load_settings(environment), variable.lower()) == default


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("PORT", "8088", 8088),
        ("API_DIALECT", "globeco", Dialect.GLOBECO),
        ("SOLVER_STRATEGY", "milp", SolverStrategy.MILP),
        ("LOG_LEVEL", "warning", "WARNING"),
        ("SOLVER_TIMEOUT_SECONDS", "0.5", 0.5),
        ("PRICE_CACHE_TTL_SECONDS", "0", 0),
        ("PRICE_MAX_AGE_DAYS", "7", 7),
        ("MONGODB_URL", "embedded", "embedded"),
        ("MONGODB_URL", "mongodb://user:password@a,b/x?replicaSet=rs0", "mongodb://user:password@a,b/x?replicaSet=rs0"),
        ("MONGODB_URL", "mongodb+srv://cluster.example", "mongodb+srv://cluster.example"),
        ("PRICING_SERVICE_URL", "https://prices.example/base", "https://prices.example/base"),
        ("MONGODB_URL", "none", "none"),
        ("PRICE_MAX_AGE_DAYS", "5", 5),
        ("LOG_FORMAT", "console", "console"),
        ("CORS_ALLOW_ORIGINS", "https://a.example, http://[::1]:8080", "https://a.example, http://[::1]:8080"),
        ("TRADE_DATE_TIMEZONE", "America/New_York", "America/New_York"),
    ],
)
def test_a_variable_is_read_from_the_environment(variable: str, text: str, value: object) -> None:
    """Its text becomes the typed value, and unrelated variables are ignored."""
    assert getattr(load_settings({variable: text, "UNRELATED": "x"}), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        *(("PORT", each) for each in ("0", "65536", "-1", "http", "8080.5")),
        *(
            (f"{each}_SERVICE_URL", "pricing:8083")
            for each in ("PORTFOLIO_ACCOUNTING", "PRICING", "PORTFOLIO", "SECURITY")
        ),
        *(
            ("ORDER_SERVICE_URL", each)
            for each in (
                "ftp://a",
                "http://",
                "http://a/api/v1",
                "http://a/api/v1/",
                "http://a?b",
                "http://a b",
            )
        ),
        *(("EXTERNAL_SERVICE_RETRIES", each) for each in ("-1", "1.5", "many")),
        *(("SOLVER_TIMEOUT_SECONDS", each) for each in ("0", "-1", "nan", "inf", "soon")),
        *(("SOLVER_PROCESSES", each) for each in ("0", "-2", "257")),
        ("SOLVER_STRATEGY", "guess"),
        ("API_DIALECT", "snake"),
        ("PRICE_CACHE_TTL_SECONDS", "-1"),
        ("CIRCUIT_BREAKER_FAILURES", "0"),
        ("REBALANCE_CONCURRENCY", "0"),
        ("DATABASE_NAME", "a/b"),
        ("DATABASE_NAME", "$where"),
        ("MONGODB_URL", "postgres://user:secret@host/db"),
        *(("TRADE_DATE_TIMEZONE", each) for each in ("Mars/Olympus", "../etc/passwd", "/etc/passwd", "New York")),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        *(("PRICE_MAX_AGE_DAYS", each) for each in ("-1", "1.5", "none")),
        *(
            ("CORS_ALLOW_ORIGINS", each)
            for each in (
                "foo",
                "https://a.example/",
                "https://a.example/path",
                "https://a.example:70000",
                "a.example",
                "*, https://a.example",
                ",",
            )
        ),
        ("MONGODB_URL", "mongodb://user:secret@a/?tls=true&tlsCAFile=/nothing/ca.pem"),
        ("MONGODB_URL", f"mongodb://user:secret@a/?tls=true&tlsCAFile={__file__}"),
        ("PRICING_SERVICE_URL", "ftp://user:secret@prices"),
    ],
)
def test_a_wrong_value_is_refused_in_a_line_that_names_the_variable_and_repeats_no_secret(
    variable: str, wrong: str
) -> None:
    """The line shows the value, unless it is a URL that may have a password."""
    with pytest.raises(InvalidSettings) as rejected:
        load_settings({variable: wrong})
    message = str(rejected.value)
    assert message.startswith(f"{variable} ")
    assert "\n" not in message
    assert "secret" not in message
    assert f"`{wrong}`" in message or "MONGODB_URL" in message or "@" in wrong


@pytest.mark.parametrize(
    ("variable", "wrong", "message"),
    [
        ("PORT", "70000", "PORT accepts a whole number from 1 to 65535"),
        ("PORT", "eighty", "PORT accepts a whole number from 1 to 65535"),
        ("SOLVER_STRATEGY", "guess", "SOLVER_STRATEGY accepts `auto` or `milp`"),
        ("MONGODB_URL", "postgres://secret@host", "MONGODB_URL accepts a mongodb://"),
        ("MONGODB_URL", "mongodb://user:se@cret@host/", "MONGODB_URL accepts a mongodb://"),
        ("HOST", "localhost:8080", "HOST accepts an IP address"),
        ("PRICING_SERVICE_URL", "pricing:8083", "PRICING_SERVICE_URL accepts a base URL"),
        (
            "PRICING_SERVICE_URL",
            "http://pricing:8083/api/v1",
            "PRICING_SERVICE_URL accepts a base URL without `/api/v1`",
        ),
        ("TRADE_DATE_TIMEZONE", "Mars/Olympus", "TRADE_DATE_TIMEZONE accepts an IANA time zone"),
        ("EXTERNAL_SERVICE_RETRIES", "-1", "EXTERNAL_SERVICE_RETRIES accepts a whole number from 0 to 10"),
        ("REBALANCE_DEADLINE_SECONDS", "nan", "REBALANCE_DEADLINE_SECONDS accepts a number above 0, at most 86400"),
    ],
)
def test_a_wrong_value_is_reported_with_what_its_variable_accepts(variable: str, wrong: str, message: str) -> None:
    """The message names the variable and its form, and repeats no part of a password."""
    with pytest.raises(InvalidSettings) as rejected:
        load_settings({variable: wrong})
    assert message in str(rejected.value)
    assert "cret" not in str(rejected.value)


def test_all_wrong_settings_are_reported_at_once() -> None:
    """Each wrong variable has a line with what it accepts and the value found, on one line whatever the value."""
    wrong = {
        "PORT": "eighty",
        "CORS_ALLOW_ORIGINS": "foo",
        "HOST": "a\nb",
        "MONGODB_URL": "secret",
        "LOG_LEVEL": "INFO",
    }
    with pytest.raises(InvalidSettings) as rejected:
        load_settings(wrong)
    *others, origins = str(rejected.value).splitlines()
    assert others == [
        "HOST accepts an IP address such as `0.0.0.0` or `::`; found `a\\nb`",
        "PORT accepts a whole number from 1 to 65535; found `eighty`",
        "MONGODB_URL accepts a mongodb:// or mongodb+srv:// URL, `embedded` or `none`",
    ]
    assert origins.startswith("CORS_ALLOW_ORIGINS accepts `*`, or origins such as `https://desk.example:8443`")
    assert origins.endswith("; found `foo`")


@pytest.mark.parametrize(
    ("variable", "wrong"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "foo"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a:99999"),
        ("OTEL_COLLECTOR_GRPC_ENDPOINT", "://"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ],
)
def test_a_wrong_destination_of_telemetry_is_named(variable: str, wrong: str) -> None:
    """Where traces and metrics go is checked at start-up, as the other settings are."""
    with pytest.raises(InvalidSettings, match=f"^{variable} accepts .*; found `{wrong}`$"):
        load_collector({variable: wrong})


def test_a_file_beside_the_process_sets_what_the_environment_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Variables of the environment take precedence over `.env`."""
    (tmp_path / ".env").write_text("PORT=9000\nLOG_LEVEL=ERROR\n")
    monkeypatch.chdir(tmp_path)
    for variable in ("PORT", "LOG_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings()
    assert (settings.port, settings.log_level) == (9000, "DEBUG")


def test_origins_are_a_comma_list() -> None:
    """Whitespace and a trailing comma are ignored."""
    assert Settings().allowed_origins == ["*"]
    two = load_settings({"CORS_ALLOW_ORIGINS": " https://a.example, https://b.example ,"})
    assert two.allowed_origins == ["https://a.example", "https://b.example"]
