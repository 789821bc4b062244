"""HEAD on every GET endpoint: the same response without its body, which is not even built where it is streamed."""

from typing import cast

from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPDisconnectEvent, HTTPReceiveMessage


class HeadRequests:
    """ASGI middleware that serves HEAD as GET and discards the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != HttpMethod.HEAD:
            await self._app(scope, receive, send)
            return
        finished = False

        async def send_head(message: Message) -> None:
            nonlocal finished
            if message["type"] != "http.response.body":
                await send(message)
            elif not finished:
                finished = True
                await send({"type": "http.response.body", "body": b"", "more_body": False})

        async def receive_until_sent() -> HTTPReceiveMessage:
            # A stream stops when its client is gone.
            if finished:
                return HTTPDisconnectEvent(type="http.disconnect")
            return cast("HTTPReceiveMessage", await receive())

        scope["method"] = HttpMethod.GET
        try:
            await self._app(scope, receive_until_sent, send_head)
        finally:
            # The request is counted as what it was.
            scope["method"] = HttpMethod.HEAD
