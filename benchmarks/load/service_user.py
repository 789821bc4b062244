"""What every load user is: paced, in one dialect, and strict about the responses it gets."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import httpx
import msgspec
from locust import FastHttpUser, events
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import RescheduleTask

from app.http.dialect import Dialect, camel_case
from benchmarks.load.calls import Recorder
from benchmarks.load.market import DRIFT, Draft, Market, Upstreams, read_market
from benchmarks.load.plan import PACING_SECONDS, TIMEOUT_SECONDS

type Json = Any

MALFORMED = (KeyError, IndexError, TypeError, ValueError, AssertionError)
"""What the check of a response raises if the response is wrong."""


class ServiceUser(FastHttpUser):
    """Calls the service; begins one action in every `PACING_SECONDS`, at a moment of its own."""

    abstract = True
    connection_timeout = TIMEOUT_SECONDS
    network_timeout = TIMEOUT_SECONDS

    market: ClassVar[Market]
    dialect: ClassVar[Dialect]

    def on_start(self) -> None:
        """Wait for a moment of this user's own.

        Locust's `constant_pacing` counts from a user's creation, and users who are created together would call together
        for ever.
        """
        self._due = time.perf_counter() - random.uniform(0, PACING_SECONDS)
        self.wait()

    def wait_time(self) -> float:
        """Return the seconds until the next action is due: 0 if that has passed, so that no arrival is left out."""
        self._due += PACING_SECONDS
        return max(0.0, self._due - time.perf_counter())

    def call[T](
        self, kind: str, method: str, path: str, check: Callable[[Json], T], body: Json = None, *, status: int = 200
    ) -> T:
        """Send a request and return what its check makes of the response.

        Args:
            kind: what the call is counted as.
            method: of HTTP.
            path: below `/api/v1`.
            check: gets the decoded body, None for an empty one; raises one of `MALFORMED` for one that is wrong.
            body: what to send as JSON.
            status: the expected status.

        Raises:
            RescheduleTask: the call failed and is counted so; ends the action that needed it.
        """
        with self.client.request(method, f"/api/v1{path}", name=kind, json=body, catch_response=True) as response:
            content = response.content or b""
            if response.status_code != status:
                response.failure(_reason(response.status_code, content) if response.status_code else response.error)
                raise RescheduleTask
            try:
                return check(msgspec.json.decode(content) if content else None)
            except MALFORMED as defect:
                response.failure(f"wrong response: {defect!r}")
                raise RescheduleTask from defect

    def create_model(self, draft: Draft) -> Json:
        """Create a model and return it as the service does."""
        body = self.model_body(draft)

        def is_the_same(model: Json) -> Json:
            assert model["positions"] == body["positions"]
            assert model["portfolios"] == body["portfolios"]
            assert model["version"] == 1
            return model

        return self.call("create model", "POST", "/models", is_the_same, body, status=201)

    @classmethod
    def model_body(cls, draft: Draft) -> Json:
        """Spell a model in the dialect."""
        return {
            "name": draft.name,
            "positions": [cls.position_body(each.security_id, each.target) for each in draft.positions],
            "portfolios": draft.portfolios,
        }

    @classmethod
    def position_body(cls, security_id: str, target: float) -> Json:
        """Spell a position in the dialect."""
        name = cls.field
        return {name("security_id"): security_id, "target": target, name("high_drift"): DRIFT, name("low_drift"): DRIFT}

    @classmethod
    def field(cls, name: str) -> str:
        """Spell a field's name in the dialect."""
        return name if cls.dialect is Dialect.GLOBECO else camel_case(name)


def _reason(status: int, content: bytes) -> str:
    """Name a refusal by its code, not by its whole text, so that equal failures count as equal."""
    try:
        return f"{status} {msgspec.json.decode(content)['error']['code']}"
    except MALFORMED:
        return str(status)


@events.init_command_line_parser.add_listener
def _add_options(parser: LocustArgumentParser) -> None:
    add = parser.add_argument
    add("--dialect", choices=[*Dialect], default=Dialect.STANDARD, help="the service's API_DIALECT")
    for service in Upstreams.__struct_fields__:
        variable = f"{service.upper()}_SERVICE_URL"
        add(
            f"--{service}-service-url",
            env_var=variable,
            required=True,
            help=f"base URL of the {service.title()} Service",
        )
    add("--calls-file", default="", help="where to write every call, for the report")


@events.init.add_listener
def _read_options(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    upstreams = [getattr(options, f"{service}_service_url") for service in Upstreams.__struct_fields__]
    try:
        ServiceUser.market = read_market(Upstreams(*upstreams))
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.ValidationError) as error:
        raise SystemExit(f"The securities and portfolios for the load could not be read: {error}") from None
    ServiceUser.dialect = Dialect(options.dialect)


@events.test_start.add_listener
def _record(environment: Environment, **_: Any) -> None:
    options = environment.parsed_options
    assert options is not None
    if options.calls_file:
        file = Path(options.calls_file).open("wb")  # noqa: SIM115 - open for as long as the process
        environment.events.request.add_listener(Recorder(file, time.time()))
        environment.events.quitting.add_listener(lambda **_: file.close())
