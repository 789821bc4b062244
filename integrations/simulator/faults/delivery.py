"""Delivers a reply under the faults that hit its call."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from http import HTTPStatus

from aiohttp import web

from integrations.simulator.faults.garbage import garble, million_rows
from integrations.simulator.faults.kinds import (
    CallFault,
    Delay,
    ErrorStatus,
    Garbage,
    GarbageKind,
    Hang,
    HangMidBody,
    LostStatus,
    OrderFault,
    OrderResponse,
    Repeat,
    Reset,
    SlowBody,
)
from integrations.simulator.reply import JSON, Reply, Route

_SLOW_WRITES_A_SECOND = 20
_ERROR = b'{"error":"simulated fault"}'
_RESET_INSTEAD_OF_CLOSE = struct.pack("ii", 1, 0)


def deliver(reply: Reply) -> web.Response:
    """Deliver a reply without a fault."""
    return web.Response(body=reply.body, status=reply.status, content_type=reply.content_type)


async def deliver_faulty(request: web.Request, route: Route, faults: tuple[CallFault, ...]) -> web.StreamResponse:
    """Go through the faults in their order; the call is carried out only if none of them ends it before."""
    for fault in faults:
        early = await _before_reply(request, fault)
        if early is not None:
            return early
    last = faults[-1]
    if isinstance(last, OrderFault | LostStatus) and route.reply_under is not None:
        reply = await route.reply_under(request, last)
    else:
        reply = await route.reply(request)
    # Writing to a client that has closed its connection ends without an error.
    with suppress(ConnectionError):
        return await _send_under(request, reply, faults[-1])
    return deliver(reply)


async def _before_reply(request: web.Request, fault: CallFault) -> web.Response | None:
    match fault:
        case Delay():
            longest = fault.seconds if fault.up_to is None else fault.up_to
            await asyncio.sleep(random.uniform(fault.seconds, longest))  # noqa: S311 - not secret
        case ErrorStatus():
            headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            return web.Response(body=_ERROR, status=fault.status, headers=headers, content_type=JSON)
        case Hang():
            await _lost_connection()
        case Reset(mid_body=False):
            _reset(request)
            await _lost_connection()
    return None


async def _send_under(request: web.Request, reply: Reply, fault: CallFault) -> web.StreamResponse:
    match fault:
        case Garbage() if reply.content_type != JSON:
            return deliver(reply)
        case Garbage(kind=GarbageKind.MILLION_ROWS):
            return await _send_million_rows(request, reply)
        case Garbage():
            return deliver(garble(fault.kind, reply))
        case HangMidBody():
            await _send_half(request, reply)
            await _lost_connection()
        case Reset():
            await _send_half(request, reply)
            _reset(request)
            await _lost_connection()
        case OrderFault():
            return await _respond_to_orders(request, reply, fault.responds)
        case Repeat():
            _repeat_later(request, reply, fault.seconds)
        case SlowBody():
            return await _send_slowly(request, reply, fault.bytes_per_second)
    return deliver(reply)


async def _respond_to_orders(request: web.Request, reply: Reply, responds: OrderResponse) -> web.StreamResponse:
    match responds:
        case OrderResponse.CUT_BEFORE:
            _reset(request)
            await _lost_connection()
        case OrderResponse.CUT_DURING:
            await _send_half(request, reply)
            _reset(request)
            await _lost_connection()
        case OrderResponse.CUT_AFTER:
            return await _send_and_close(request, reply)
        case OrderResponse.HANG:
            await _lost_connection()
    return deliver(reply)


async def _lost_connection() -> None:
    """Wait for the connection to be lost, which cancels every handler that waits."""
    await asyncio.Event().wait()


def _repeat_later(request: web.Request, reply: Reply, seconds: float) -> None:
    head = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\nContent-Type: {reply.content_type}\r\n"
    copy = f"{head}Content-Length: {len(reply.body)}\r\n\r\n".encode() + reply.body

    def write() -> None:
        if request.transport is not None and not request.transport.is_closing():
            request.transport.write(copy)

    asyncio.get_running_loop().call_later(seconds, write)


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_INSTEAD_OF_CLOSE)
        request.transport.abort()


async def _begin(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status)
    response.content_type = reply.content_type
    response.content_length = len(reply.body)
    await response.prepare(request)
    return response


async def _send_half(request: web.Request, reply: Reply) -> None:
    response = await _begin(request, reply)
    await response.write(reply.body[: len(reply.body) // 2])


async def _send_and_close(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = await _begin(request, reply)
    await response.write_eof(reply.body)
    if request.transport is not None:
        request.transport.close()
    return response


async def _send_slowly(request: web.Request, reply: Reply, bytes_per_second: float) -> web.StreamResponse:
    response = await _begin(request, reply)
    step = max(1, round(bytes_per_second / _SLOW_WRITES_A_SECOND))
    for start in range(0, len(reply.body), step):
        await asyncio.sleep(step / bytes_per_second)
        await response.write(reply.body[start : start + step])
    return response


async def _send_million_rows(request: web.Request, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status)
    response.content_type = reply.content_type
    await response.prepare(request)
    for piece in million_rows(reply.body):
        await response.write(piece)
    return response
