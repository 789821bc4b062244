"""Delivers an answer under the faults that hit its call."""

import asyncio
import random
import socket
import struct
from contextlib import suppress

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
    Reset,
    SlowBody,
)
from integrations.simulator.reply import JSON, Reply, Route

_SLOW_WRITES_A_SECOND = 20
_ERROR = b'{"error":"simulated fault"}'
_RESET_INSTEAD_OF_CLOSE = struct.pack("ii", 1, 0)


def deliver(answer: Reply) -> web.Response:
    """Deliver an answer that no fault befalls."""
    return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type)


async def deliver_faulty(request: web.Request, route: Route, faults: tuple[CallFault, ...]) -> web.StreamResponse:
    """Go through the faults in their order; the call is carried out only if none of them ends it before."""
    for fault in faults:
        refusal = await _before_answer(request, fault)
        if refusal is not None:
            return refusal
    last = faults[-1]
    if isinstance(last, OrderFault | LostStatus) and route.reply_under is not None:
        answer = await route.reply_under(request, last)
    else:
        answer = await route.reply(request)
    # Whoever writes to a client that has gone away stops, quietly.
    with suppress(ConnectionError):
        return await _answer(request, answer, faults[-1])
    return deliver(answer)


async def _before_answer(request: web.Request, fault: CallFault) -> web.Response | None:
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


async def _answer(request: web.Request, answer: Reply, fault: CallFault) -> web.StreamResponse:
    match fault:
        case Garbage() if answer.content_type != JSON:
            return deliver(answer)
        case Garbage(kind=GarbageKind.MILLION_ROWS):
            return await _send_million_rows(request, answer)
        case Garbage():
            return deliver(garble(fault.kind, answer))
        case HangMidBody():
            await _send_half(request, answer)
            await _lost_connection()
        case Reset():
            await _send_half(request, answer)
            _reset(request)
            await _lost_connection()
        case OrderFault():
            return await _respond_to_orders(request, answer, fault.responds)
        case SlowBody():
            return await _send_slowly(request, answer, fault.bytes_per_second)
    return deliver(answer)


async def _respond_to_orders(request: web.Request, answer: Reply, responds: OrderResponse) -> web.StreamResponse:
    match responds:
        case OrderResponse.CUT_BEFORE:
            _reset(request)
            await _lost_connection()
        case OrderResponse.CUT_DURING:
            await _send_half(request, answer)
            _reset(request)
            await _lost_connection()
        case OrderResponse.CUT_AFTER:
            return await _send_and_close(request, answer)
        case OrderResponse.HANG:
            await _lost_connection()
    return deliver(answer)


async def _lost_connection() -> None:
    """Wait for the connection to be lost, which cancels every handler that waits."""
    await asyncio.Event().wait()


def _reset(request: web.Request) -> None:
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_INSTEAD_OF_CLOSE)
        request.transport.abort()


async def _begin(request: web.Request, answer: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    return response


async def _send_half(request: web.Request, answer: Reply) -> None:
    response = await _begin(request, answer)
    await response.write(answer.body[: len(answer.body) // 2])


async def _send_and_close(request: web.Request, answer: Reply) -> web.StreamResponse:
    response = await _begin(request, answer)
    await response.write_eof(answer.body)
    if request.transport is not None:
        request.transport.close()
    return response


async def _send_slowly(request: web.Request, answer: Reply, bytes_per_second: float) -> web.StreamResponse:
    response = await _begin(request, answer)
    step = max(1, round(bytes_per_second / _SLOW_WRITES_A_SECOND))
    for start in range(0, len(answer.body), step):
        await asyncio.sleep(step / bytes_per_second)
        await response.write(answer.body[start : start + step])
    return response


async def _send_million_rows(request: web.Request, answer: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type
    await response.prepare(request)
    for piece in million_rows(answer.body):
        await response.write(piece)
    return response
