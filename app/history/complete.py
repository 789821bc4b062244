"""Responses about one stored rebalance: all of it is read before any of it is sent.

A portfolio that cannot be read, or a database that fails, is then an error response instead of half a response.
"""

from collections.abc import AsyncIterator, Mapping

from litestar import MediaType, Response
from litestar.response import Stream

from app.http.streaming import BLOCK_BYTES, blocks
from app.rebalancing.body import ResponseBody


async def complete(
    chunks: AsyncIterator[bytes], media_type: str = MediaType.JSON, headers: Mapping[str, str] | None = None
) -> Response[bytes] | Stream:
    """Collect the chunks of a response, and return it.

    Args:
        chunks: its body.
        media_type: of the body.
        headers: further headers.

    Raises:
        OrderGenerationError: `OVERLOADED`, too many responses wait to be read.
        persistence.PersistenceError: as the chunks raise it.
    """
    with ResponseBody() as body:
        index = 0
        async for block in blocks(chunks):
            body.add(index, block)
            index += 1
    if len(body) < BLOCK_BYTES:
        return Response(b"".join([part async for part in body.joined()]), media_type=media_type, headers=headers)
    return Stream(body.joined(), media_type=media_type, headers=headers)
