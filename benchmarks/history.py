"""A database with a long past: many models, and many rebalances that are copies of a real one."""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import batched
from typing import Any

import httpx
from bson import ObjectId
from pymongo import MongoClient
from pymongo.collection import Collection

from app.commands.stack import Stack
from benchmarks.models import RESPONSE_SECONDS, Size, create_model, rebalance_url
from benchmarks.stack import DATABASE_NAME
from persistence.indexes import MODELS, REBALANCES

TEMPLATE = Size(3, 10)
FIRST_DAY = datetime(2025, 1, 1, tzinfo=UTC)
BATCH = 2000

type Document = dict[str, Any]


def write_history(stack: Stack, models: int, rebalances: int) -> None:
    """Have one model rebalanced by the service, and store so many copies of the model and of the rebalance.

    The copies have ids, names, dates and numbers of portfolios, one to three, of their own.
    """
    model_id = ObjectId(create_model(stack, TEMPLATE))
    httpx.post(rebalance_url(stack, str(model_id)), timeout=RESPONSE_SECONDS).raise_for_status()
    chance = random.Random(1)
    with MongoClient[Document](stack.mongodb_url, tz_aware=True) as client:
        database = client[DATABASE_NAME]
        model, header = database[MODELS].find_one(), database[REBALANCES].find_one({"visible": True})
        assert model is not None
        assert header is not None
        portfolios = list(database[REBALANCES].find({"_id.rebalanceId": header["_id"]}, sort=[("_id", 1)]))
        _insert(database[MODELS], (_model(model, number, chance) for number in range(models)))
        headers = [_header(header, number, models, chance) for number in range(rebalances)]
        _insert(database[REBALANCES], (each for copy in headers for each in (*_portfolios(portfolios, copy), copy)))


def _model(model: Document, number: int, chance: random.Random) -> Document:
    return {
        **model,
        "_id": ObjectId(),
        "name": f"Model {number:06}",
        "lastRebalanceDate": chance.choice([None, _moment(chance)]),
    }


def _header(header: Document, number: int, models: int, chance: random.Random) -> Document:
    moment, count = _moment(chance), number % TEMPLATE.portfolios + 1
    return {
        **header,
        "_id": ObjectId(),
        "modelName": f"Model {chance.randrange(models):06}",
        "rebalanceDate": moment,
        "createdAt": moment,
        "numberOfPortfolios": count,
        "portfolioIds": header["portfolioIds"][:count],
    }


def _portfolios(portfolios: list[Document], header: Document) -> Iterator[Document]:
    for portfolio in portfolios[: header["numberOfPortfolios"]]:
        yield {**portfolio, "_id": {**portfolio["_id"], "rebalanceId": header["_id"]}}


def _moment(chance: random.Random) -> datetime:
    return FIRST_DAY + timedelta(milliseconds=chance.randrange(365 * 24 * 60 * 60 * 1000))


def _insert(collection: Collection[Document], documents: Iterable[Document]) -> None:
    for batch in batched(documents, BATCH, strict=False):
        collection.insert_many(batch, ordered=False)
