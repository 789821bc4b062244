"""The settings: the contract's names and defaults, and a clear line for what is wrong."""

from pathlib import Path

import pytest

from app.errors.codes import InvalidSetting
from app.http.dialect import Dialect
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
    "API_DIALECT": Dialect.STANDARD,
    "TRADE_DATE_TIMEZONE": "UTC",
    "LOG_LEVEL": "INFO",
    "CORS_ALLOW_ORIGINS": "*",
}


@pytest.mark.parametrize(("variable", "default"), DEFAULTS.items())
def test_a_variable_that_is_not_set_has_the_contracts_default(variable: str, default: object) -> None:
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
        ("MONGODB_URL", "embedded", "embedded"),
        ("MONGODB_URL", "mongodb://user:password@a,b/x?replicaSet=rs0", "mongodb://user:password@a,b/x?replicaSet=rs0"),
        ("MONGODB_URL", "mongodb+srv://cluster.example", "mongodb+srv://cluster.example"),
        ("PRICING_SERVICE_URL", "https://prices.example/base", "https://prices.example/base"),
        ("TRADE_DATE_TIMEZONE", "America/New_York", "America/New_York"),
    ],
)
def test_a_variable_is_read_from_the_environment(variable: str, text: str, value: object) -> None:
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
            for each in ("ftp://a", "http://", "http://a/api/v1", "http://a/api/v1/", "http://a?b")
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
    ],
)
def test_a_wrong_value_is_refused_in_a_line_that_names_the_variable_and_repeats_no_secret(
    variable: str, wrong: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load_settings({variable: wrong})
    message = str(refused.value)
    assert message.startswith(f"{variable} ")
    assert "\n" not in message
    assert "secret" not in message


def test_a_file_beside_the_process_sets_what_the_environment_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PORT=9000\nLOG_LEVEL=ERROR\n")
    monkeypatch.chdir(tmp_path)
    for variable in ("PORT", "LOG_LEVEL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings = load_settings()
    assert (settings.port, settings.log_level) == (9000, "DEBUG")


def test_origins_are_a_comma_list() -> None:
    assert Settings().allowed_origins == ["*"]
    two = load_settings({"CORS_ALLOW_ORIGINS": " https://a.example, https://b.example ,"})
    assert two.allowed_origins == ["https://a.example", "https://b.example"]
