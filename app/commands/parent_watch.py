"""Ends a process whose parent is gone, so that no end of a demo, a test or a server leaves anything running."""

import asyncio
import multiprocessing
import os
import signal
import threading


def end_with_stdin() -> None:
    """Terminate this process when standard input ends, which it does however the parent that holds it ends."""

    def watch() -> None:
        # Not sys.stdin: its buffer holds a lock that the interpreter's own end would trip over.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def end_with_server(drain_seconds: float) -> None:
    """Terminate this worker when the server process that started it is gone; nothing to do in the server itself.

    The server would also kill a worker whose requests do not end; without it, the worker does so itself.

    Only the server stops its worker: an interrupt at the terminal reaches both, and Granian drops the requests
    under way at the second signal.

    Args:
        drain_seconds: how long requests under way may take to finish.
    """
    server = multiprocessing.parent_process()
    if server is not None:
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(server.sentinel)
            # The kernel ends it, not the loop: Granian blocks the whole process after two SIGTERM before it serves.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, drain_seconds)
            os.kill(os.getpid(), signal.SIGTERM)

        loop.add_reader(server.sentinel, ended)
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
