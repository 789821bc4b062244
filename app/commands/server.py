"""Runs the service under Granian: one worker process, beside the solver processes that it starts."""

import os
import signal
import socket
import threading
import time

from granian.constants import HTTPModes, Interfaces, Loops
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server import MPServer

from app.errors.codes import CannotListen, InvalidSetting, InvalidSettings
from app.http.connections import connection_limit, raise_descriptor_limit
from app.observability.collector import load_collector
from app.observability.logs import configure_logs, log_configuration
from app.observability.stray_output import stray_output_logged
from app.settings import Settings, load_settings

STOPPING = (signal.SIGTERM, signal.SIGINT)
REPEAT_SECONDS = 0.1
HEADER_BYTES = 16 * 1024
"""Largest header of a request; also what is read of a body at once."""
BACKLOG = 2048


def read_environment() -> Settings:
    """Read the settings, those of OpenTelemetry included.

    Raises:
        InvalidSettings: naming each wrong variable of either.
    """
    faults: list[InvalidSetting] = []
    settings = None
    try:
        settings = load_settings()
    except InvalidSettings as error:
        faults.extend(error.faults)
    try:
        load_collector()
    except InvalidSettings as error:
        faults.extend(error.faults)
    if settings is None or faults:
        raise InvalidSettings(faults)
    return settings


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        CannotListen: naming address and port.
    """
    _check_free(settings)
    configure_logs(settings.log_level, settings.log_format)
    raise_descriptor_limit()
    server = MPServer(
        "app.main:create_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            # The watch of `app.http.connections` responds before Granian closes the connection without a response.
            header_read_timeout=int(1000 * (2 * settings.request_timeout_seconds + 5)),
            max_buffer_size=HEADER_BYTES,
        ),
        backlog=BACKLOG,
        # Of connections, not requests: at the limit Granian accepts no more.
        backpressure=connection_limit(),
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=log_configuration(settings.log_level, settings.log_format),
    )
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_begin_worker)
    with stray_output_logged():
        server.serve()


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _begin_worker() -> None:
    """Restore default signal handling in a worker that has not finished starting."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    _raise_unheard_signals()
    _release_signals()


def _raise_unheard_signals() -> None:
    """Repeat, once the event loop runs, a signal that comes while it does not.

    Granian sets the loop's handlers before it runs the loop, and runs it twice: to start, and to serve. While it does
    not run, a signal is taken and wakes nothing. The loop uses a wake-up descriptor of its own as long as it runs; this
    one is there for the rest.
    """
    unheard, wakeup = os.pipe()
    os.set_blocking(wakeup, False)
    signal.set_wakeup_fd(wakeup)

    def repeat() -> None:
        while number := os.read(unheard, 1):
            time.sleep(REPEAT_SECONDS)
            os.kill(os.getpid(), number[0])

    threading.Thread(target=repeat, name="unheard-signals", daemon=True).start()


def _check_free(settings: Settings) -> None:
    """Try the address before the server does, which would end in its own words and a stack."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotListen(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}") from error
