"""Runs the service under Granian: one worker process, beside the solver processes that it starts."""

import os
import signal
import socket
import threading
import time
from types import FrameType

from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server import MPServer

from app.errors import CannotListen
from app.observability.collector import load_collector
from app.observability.logs import configure_logs, log_configuration
from app.observability.stray_output import stray_output_logged
from app.settings import Settings

STOPPING = (signal.SIGTERM, signal.SIGINT)
REPEAT_SECONDS = 0.5


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        CannotListen: naming address and port.
        InvalidSetting: of OpenTelemetry.
    """
    load_collector()
    _check_free(settings)
    configure_logs(settings.log_level)
    server = MPServer(
        "app.main:create_app",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=1,
        loop=Loops.uvloop,
        websockets=False,
        respawn_failed_workers=True,
        workers_kill_timeout=settings.drain_seconds,
        log_level=LogLevels(settings.log_level.lower()),
        log_dictconfig=log_configuration(settings.log_level),
    )
    os.register_at_fork(before=_hold_signals, after_in_parent=_release_signals, after_in_child=_begin_worker)
    server.on_startup(lambda: _repeat_stops(server))
    with stray_output_logged():
        server.serve()


def _hold_signals() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)


def _begin_worker() -> None:
    """Let a worker that still starts simply end when it is told to: the server's handlers mean nothing in it."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)
    _release_signals()


def _repeat_stops(server: MPServer) -> None:
    """Have the worker told to stop until it does.

    Granian runs the worker's event loop once for the start and once to serve. A signal between the two is taken by the
    loop's handler, but wakes nothing: the loop looks at what it has taken when the next signal comes.
    """

    def repeat() -> None:
        time.sleep(REPEAT_SECONDS)
        while server.wrks:
            for worker in tuple(server.wrks):
                worker.inner.terminate()
            time.sleep(REPEAT_SECONDS)

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not server.interrupt_signal:
            threading.Thread(target=repeat, name="repeat-stop", daemon=True).start()
        server.interrupt_signal = True
        server.main_loop_interrupt.set()

    # Granian has set its own handlers by now, and has not yet started the worker.
    for number in STOPPING:
        signal.signal(number, stop)


def _check_free(settings: Settings) -> None:
    """Try the address before the server does, which would end in its own words and a stack."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise CannotListen(f"cannot listen on {settings.host}, port {settings.port}: {error.strerror}") from error
