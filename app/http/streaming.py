"""Responses of any size, sent while they are generated, in blocks of a useful size."""

import asyncio
from collections.abc import AsyncIterator

from litestar.enums import MediaType
from litestar.response import Stream

READ_AHEAD_BYTES = 250_000
"""Of a response, held back until this much of it is known to be right; about ten portfolios of 50 positions."""

BLOCK_BYTES = 64 * 1024
"""What is worth sending by itself."""


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
    block = bytearray()
    async for chunk in chunks:
        block += chunk
        if len(block) >= BLOCK_BYTES:
            yield bytes(block)
            block.clear()
            # The server may take blocks as fast as they come, and other requests want their turn.
            await asyncio.sleep(0)
    if block:
        yield bytes(block)


async def array(elements: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Write encoded elements as a JSON array, a chunk for each."""
    opening = b"["
    async for element in elements:
        yield opening + element
        opening = b","
    yield b"]" if opening == b"," else b"[]"


async def read_ahead(chunks: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """Return the beginning, up to `READ_AHEAD_BYTES` or one chunk more, and the remainder."""
    beginning = bytearray()
    async for chunk in chunks:
        beginning += chunk
        if len(beginning) >= READ_AHEAD_BYTES:
            break
    return bytes(beginning), chunks
