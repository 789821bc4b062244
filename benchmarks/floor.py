"""The floor: bare handlers that do what a rebalance, or reading one, cannot do without, and nothing else.

They read the same balances or documents, insert the same documents and return the same bytes as the service did when
they were recorded, under the same server and framework; they compute nothing and check nothing. On request they also
do what the design of the service adds: the database calls that concern the model, and the calculation in processes of
its solver pool, from recorded assignments.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from bson import CodecOptions, MaxKey, ObjectId, decode_all
from bson.raw_bson import RawBSONDocument
from litestar import Litestar, Response, get, post
from litestar.datastructures import State
from msgspec.structs import replace
from pymongo import AsyncMongoClient, WriteConcern

from app.solver_task.assignment import Assignment, Terms, decoded
from app.solver_task.calculate import CALCULATION, Calculated, Calculation
from solver.pool import SolverPool

CONNECTIONS = 100
AT_A_TIME = 32
DURABLE = WriteConcern(w="majority", j=True)
SOLVER_PROCESSES = 2
RAW = CodecOptions(document_class=RawBSONDocument)


class Floor(msgspec.Struct):
    """What the handlers need: connections, and a recorded rebalance.

    Attributes:
        model_id: of the model to read and to date; None to do neither.
        solvers: calculate the assignments; None to insert and to return what is recorded.
    """

    session: aiohttp.ClientSession
    client: AsyncMongoClient[dict[str, Any]]
    portfolio_ids: list[str]
    documents: list[dict[str, Any]]
    response: list[Any]
    rebalance_ids: list[ObjectId]
    stored: bytes
    turns: "count[int]"
    model_id: ObjectId | None
    solvers: SolverPool[Assignment, Calculation] | None
    assignments: list[Assignment]
    terms: Terms


@post("/rebalance", status_code=200)
async def rebalance(state: State) -> Response[bytes]:
    """Read every portfolio's balances, insert every portfolio's document, return the whole response."""
    floor: Floor = state.floor
    return Response(await _rebalanced(floor, range(len(floor.portfolio_ids))), media_type="application/json")


@post("/portfolio/rebalance", status_code=200)
async def rebalance_next(state: State) -> Response[bytes]:
    """Do the same for a single portfolio, the next one of the recording."""
    floor: Floor = state.floor
    index = next(floor.turns) % len(floor.portfolio_ids)
    return Response(await _rebalanced(floor, range(index, index + 1)), media_type="application/json")


async def _rebalanced(floor: Floor, indexes: range) -> bytes:
    """Do what a rebalance of the recorded portfolios with these indexes cannot do without, and return its response."""
    models = floor.client["order_generation"].get_collection("models", write_concern=DURABLE)
    if floor.model_id is not None:
        await models.find_one({"_id": floor.model_id})
    rebalance_id = ObjectId()
    terms = b""
    if floor.solvers is not None:
        terms = msgspec.msgpack.encode(replace(floor.terms, rebalance_id=str(rebalance_id)))
    waiting = iter(indexes)
    calculated: dict[int, Calculated] = {}

    async def read() -> None:
        for index in waiting:
            parameters = {"portfolio_id": floor.portfolio_ids[index], "limit": "1000", "offset": "0"}
            async with floor.session.get("/api/v1/balances", params=parameters) as response:
                msgspec.json.decode(await response.read())
            if floor.solvers is not None:
                assignment = replace(floor.assignments[index], terms=terms)
                solved = await floor.solvers.solve(assignment, lane=rebalance_id)
                assert isinstance(solved.outcome, Calculated)
                calculated[index] = solved.outcome

    async with asyncio.TaskGroup() as readers:
        for _ in range(min(AT_A_TIME, len(indexes))):
            readers.create_task(read())
    documents: list[dict[str, Any] | RawBSONDocument] = [
        _calculated_document(calculated[index])
        if floor.solvers is not None
        else {**floor.documents[index], "_id": {"rebalanceId": rebalance_id, "place": index}}
        for index in indexes
    ]
    await floor.client["floor"].get_collection("documents", write_concern=DURABLE).insert_many(documents)
    if floor.model_id is not None:
        await models.update_one({"_id": floor.model_id}, {"$set": {"lastRebalanceDate": datetime.now(UTC)}})
    if floor.solvers is not None:
        return b"[" + b",".join(calculated[index].body for index in indexes) + b"]"
    return msgspec.json.encode(floor.response[indexes.start : indexes.stop])


def _calculated_document(calculated: Calculated) -> RawBSONDocument:
    assert calculated.record is not None
    return RawBSONDocument(calculated.record.document)


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
    additions = os.environ["FLOOR_ADDITIONS"].split(",")
    solvers = SolverPool(processes=SOLVER_PROCESSES, work=CALCULATION) if "solvers" in additions else None
    async with (
        solvers or nullcontext(),
        aiohttp.ClientSession(
            os.environ["PORTFOLIO_ACCOUNTING_SERVICE_URL"], connector=aiohttp.TCPConnector(limit=CONNECTIONS)
        ) as session,
        AsyncMongoClient[dict[str, Any]](os.environ["MONGODB_URL"]) as client,
    ):
        documents: list[dict[str, Any]] = decode_all(
            (recording / "documents.bson").read_bytes(), CodecOptions(tz_aware=True)
        )
        assignments = msgspec.msgpack.decode((recording / "assignments.msgpack").read_bytes(), type=list[Assignment])
        app.state.floor = Floor(
            session=session,
            client=client,
            portfolio_ids=[document["portfolioId"] for document in documents],
            documents=documents,
            response=msgspec.json.decode((recording / "response.json").read_bytes()),
            rebalance_ids=[ObjectId(line) for line in (recording / "rebalances.txt").read_text().splitlines()],
            stored=(recording / "stored.json").read_bytes(),
            turns=count(),
            model_id=ObjectId((recording / "model.txt").read_text()) if "model" in additions else None,
            solvers=solvers,
            assignments=assignments,
            terms=decoded(assignments[0].terms),
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
