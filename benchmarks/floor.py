"""The floor: bare handlers that do what a rebalance, or reading one, cannot do without, and nothing else.

They read the same balances or documents, insert the same documents and return the same bytes as the service did when
they were recorded, under the same server and framework; they compute nothing and check nothing.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from bson import CodecOptions, MaxKey, ObjectId, decode_all
from bson.raw_bson import RawBSONDocument
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from pymongo import AsyncMongoClient, WriteConcern

CONNECTIONS = 100
AT_A_TIME = 32
RAW = CodecOptions(document_class=RawBSONDocument)


class Floor(msgspec.Struct):
    """What the handler needs: connections, and a recorded rebalance."""

    session: aiohttp.ClientSession
    client: AsyncMongoClient[dict[str, Any]]
    portfolio_ids: list[str]
    documents: list[dict[str, Any]]
    response: list[Any]
    rebalance_ids: list[ObjectId]
    stored: bytes
    turns: "count[int]"


@post("/rebalance", status_code=200)
async def rebalance(state: State) -> Response[bytes]:
    """Read every portfolio's balances, insert every portfolio's document, return the whole response."""
    floor: Floor = state.floor
    waiting = iter(floor.portfolio_ids)

    async def read() -> None:
        for portfolio_id in waiting:
            await _read_balances(floor, portfolio_id)

    async with asyncio.TaskGroup() as readers:
        for _ in range(AT_A_TIME):
            readers.create_task(read())
    await _insert(floor, floor.documents)
    return Response(msgspec.json.encode(floor.response), media_type="application/json")


@post("/portfolio/rebalance", status_code=200)
async def rebalance_next(state: State) -> Response[bytes]:
    """Do the same for a single portfolio, the next one of the recording."""
    floor: Floor = state.floor
    index = next(floor.turns) % len(floor.portfolio_ids)
    await _read_balances(floor, floor.portfolio_ids[index])
    await _insert(floor, [floor.documents[index]])
    return Response(msgspec.json.encode(floor.response[index]), media_type="application/json")


async def _read_balances(floor: Floor, portfolio_id: str) -> None:
    parameters = {"portfolio_id": portfolio_id, "limit": "1000", "offset": "0"}
    async with floor.session.get("/api/v1/balances", params=parameters) as response:
        msgspec.json.decode(await response.read())


async def _insert(floor: Floor, documents: list[dict[str, Any]]) -> None:
    rebalance_id, places = ObjectId(), count()
    collection = floor.client["floor"].get_collection("documents", write_concern=WriteConcern(w="majority", j=True))
    await collection.insert_many(
        [{**each, "_id": {"rebalanceId": rebalance_id, "place": next(places)}} for each in documents]
    )


@get("/model/{model_id:str}")
async def read_model(model_id: str, state: State) -> Response[bytes]:
    """Read the document of a model and show it."""
    floor: Floor = state.floor
    found = await floor.client["order_generation"]["models"].find_one({"_id": ObjectId(model_id)})
    return Response(msgspec.json.encode(found, enc_hook=str), media_type="application/json")


@get("/rebalances")
async def read_rebalances(limit: int, state: State) -> Response[bytes]:
    """Read the documents of the first rebalances of the recording, and return the recorded bytes of each."""
    floor: Floor = state.floor
    collection = floor.client["order_generation"].get_collection("rebalances", codec_options=RAW)
    for rebalance_id in floor.rebalance_ids[:limit]:
        places = {"$gt": {"rebalanceId": rebalance_id}, "$lte": {"rebalanceId": rebalance_id, "place": MaxKey()}}
        async for _ in collection.find({"_id": places}):
            pass
    return Response(b"[" + b",".join([floor.stored] * limit) + b"]", media_type="application/json")


@asynccontextmanager
async def _open(app: Litestar) -> AsyncIterator[None]:
    recording = Path(os.environ["FLOOR_RECORDING"])
    async with (
        aiohttp.ClientSession(
            os.environ["PORTFOLIO_ACCOUNTING_SERVICE_URL"], connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        ) as session,
        AsyncMongoClient[dict[str, Any]](os.environ["MONGODB_URL"]) as client,
    ):
        documents: list[dict[str, Any]] = decode_all(
            (recording / "documents.bson").read_bytes(), CodecOptions(tz_aware=True)
        )
        app.state.floor = Floor(
            session=session,
            client=client,
            portfolio_ids=[document["portfolioId"] for document in documents],
            documents=documents,
            response=msgspec.json.decode((recording / "response.json").read_bytes()),
            rebalance_ids=[ObjectId(line) for line in (recording / "rebalances.txt").read_text().splitlines()],
            stored=(recording / "stored.json").read_bytes(),
            turns=count(),
        )
        yield


def create_app() -> Litestar:
    """Build the application of the floor."""
    return Litestar(
        [rebalance, rebalance_next, read_model, read_rebalances],
        lifespan=[_open],
        openapi_config=None,
        logging_config=None,
    )
