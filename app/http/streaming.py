"""Responses of any size, sent while they are generated, in blocks of a useful size."""

import asyncio
from collections.abc import AsyncIterator

from litestar.enums import MediaType
from litestar.response import Stream

READ_AHEAD_BYTES = 250_000
"""Of a response, held back until this much of it is known to be right; about ten portfolios of 50 positions."""

BLOCK_BYTES = 128 * 1024
"""What is worth sending by itself: each block costs the server as much as some 64 KiB of writing."""

TURN_BYTES = 64 * 1024
"""What is written at a time; then other requests have their turn."""


async def streamed(chunks: AsyncIterator[bytes]) -> Stream:
    """Stream JSON; a failure within its first part still becomes an error response."""
    first, rest = await read_ahead(chunks)

    async def all_chunks() -> AsyncIterator[bytes]:
        yield first
        async for chunk in rest:
            yield chunk

    return Stream(blocks(all_chunks()), media_type=MediaType.JSON)


async def blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join chunks until they are worth sending."""
    waiting: list[bytes] = []
    size = written = 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        written += len(chunk)
        if size >= BLOCK_BYTES:
            block = b"".join(waiting)
            # The parts are not held while a client does not read the block.
            waiting.clear()
            size = 0
            yield block
        if written >= TURN_BYTES:
            # The server may take blocks as fast as they come, and the database may be ahead.
            written = 0
            await asyncio.sleep(0)
    if size:
        yield b"".join(waiting)


async def array(elements: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Write encoded elements as a JSON array, a chunk for each."""
    opening = b"["
    async for element in elements:
        yield opening + element
        opening = b","
    yield b"]" if opening == b"," else b"[]"


async def read_ahead(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the beginning, up to `READ_AHEAD_BYTES` or one chunk more, and the remainder."""
    beginning: list[bytes] = []
    size = 0
    async for chunk in chunks:
        beginning.append(chunk)
        size += len(chunk)
        if size >= READ_AHEAD_BYTES:
            break
    return b"".join(beginning), chunks
