"""A mix of everything: many reads, rebalances of one portfolio, some of large models, changes, deletions."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar

import httpx
from locust import events, task
from locust.env import Environment
from locust.exception import RescheduleTask

from benchmarks.load.plan import ACTIONS_PER_REBALANCE, TIMEOUT_SECONDS
from benchmarks.load.service_level import REBALANCE
from benchmarks.load.service_user import ServiceUser

type Json = Any

LARGE_MODELS = 2
LARGE_PORTFOLIOS, LARGE_POSITIONS = 100, 50
HIGH_DRIFTS = (0.005, 0.01, 0.015, 0.02)


class MixedUser(ServiceUser):
    """Has a model of its own, and draws what to do next from a deck that all users share."""

    large_model_ids: ClassVar[list[str]]
    deck: ClassVar[Iterator[Callable[["MixedUser"], None]]]

    _model: Json = None
    _rebalance_id: str | None = None

    def on_stop(self) -> None:
        """Leave nothing behind."""
        with suppress(RescheduleTask):
            self._delete_model()

    @task
    def next_action(self) -> None:
        """Do what the deck says, for which there must be a model and a rebalance of it."""
        if self._rebalance_id is None:
            self.replace_model()
        next(self.deck)(self)

    def list_models(self) -> None:
        """Read a page of models as the portal does."""
        self.call("list models", "GET", "/models?offset=0&limit=50&sort_by=name", len)

    def read_model(self) -> None:
        """Read the user's own model."""

        def is_the_model(read: Json) -> None:
            assert read["positions"] == self._model["positions"]
            assert read["version"] == self._model["version"]

        self.call("read model", "GET", self._model_path, is_the_model)

    def read_model_history(self) -> None:
        """Read what was done to the model."""
        self.call("read model history", "GET", f"{self._model_path}/history", len)

    def list_rebalances(self) -> None:
        """Read a page of rebalances as the portal does: the newest ten, with every position."""
        self.call("list rebalances", "GET", "/rebalances?offset=0&limit=10&sort_by=-rebalance_date", len)

    def list_summaries(self) -> None:
        """Read the newest ten rebalances without their positions."""
        self.call("list summaries", "GET", "/rebalances?offset=0&limit=10&view=summary", len)

    def read_rebalance(self) -> None:
        """Read the user's newest rebalance."""

        def is_the_rebalance(read: Json) -> None:
            assert read[self.field("rebalance_id")] == self._rebalance_id
            assert len(read["portfolios"]) == 1

        self.call("read rebalance", "GET", f"/rebalance/{self._rebalance_id}", is_the_rebalance)

    def rebalance_portfolio(self) -> None:
        """Rebalance one of the model's portfolios."""
        model_id = self._model[self.field("model_id")]
        path = f"/portfolio/{random.choice(self._model['portfolios'])}/rebalance?modelId={model_id}"

        def id_of_completed(portfolio: Json) -> str:
            assert portfolio["status"] == "COMPLETED", portfolio["error"]
            rebalance_id: str = portfolio[self.field("rebalance_id")]
            return rebalance_id

        self._rebalance_id = self.call(REBALANCE, "POST", path, id_of_completed)

    def rebalance_large_model(self) -> None:
        """Rebalance one of the large models, which all users share."""

        def all_completed(portfolios: Json) -> None:
            assert [each["status"] for each in portfolios] == ["COMPLETED"] * LARGE_PORTFOLIOS

        kind = f"rebalance {LARGE_PORTFOLIOS} x {LARGE_POSITIONS}"
        self.call(kind, "POST", f"/model/{random.choice(self.large_model_ids)}/rebalance", all_completed)

    def change_position(self) -> None:
        """Change the drift of one position."""
        changed = random.choice(self._model["positions"]) | {self.field("high_drift"): random.choice(HIGH_DRIFTS)}

        def with_the_change(model: Json) -> Json:
            assert changed in model["positions"]
            return model

        self._model = self.call("change position", "PUT", f"{self._model_path}/position", with_the_change, changed)

    def delete_rebalance(self) -> None:
        """Delete the user's newest rebalance, whose version is 1 for ever, and make another."""
        path = f"/rebalance/{self._rebalance_id}?version=1"
        self._rebalance_id = None
        self.call("delete rebalance", "DELETE", path, lambda _: None)
        self.rebalance_portfolio()

    def replace_model(self) -> None:
        """Delete the model, make another, and rebalance it."""
        self._delete_model()
        self._model = self.create_model(self.market.model())
        self.rebalance_portfolio()

    def _delete_model(self) -> None:
        if self._model is not None:
            path = f"{self._model_path}?version={self._model['version']}"
            self._model = self._rebalance_id = None
            self.call("delete model", "DELETE", path, lambda _: None, status=204)

    @property
    def _model_path(self) -> str:
        return f"/model/{self._model[self.field('model_id')]}"


SHARES: dict[Callable[[MixedUser], None], int] = {
    MixedUser.read_model: 20,
    MixedUser.list_models: 12,
    MixedUser.read_rebalance: 12,
    MixedUser.list_summaries: 8,
    MixedUser.read_model_history: 6,
    MixedUser.change_position: 6,
    MixedUser.list_rebalances: 5,
    MixedUser.rebalance_large_model: 1,
    # These rebalance one portfolio each.
    MixedUser.rebalance_portfolio: 6,
    MixedUser.delete_rebalance: 2,
    MixedUser.replace_model: 2,
}
REBALANCING = 10
"""How many of them rebalance a portfolio; shares out of `REBALANCING * ACTIONS_PER_REBALANCE`."""


def shuffled_for_ever() -> Iterator[Callable[[MixedUser], None]]:
    """Deal the actions in random order, so that each has exactly its share in every deck."""
    deck = [action for action, share in SHARES.items() for _ in range(share)]
    assert len(deck) == REBALANCING * ACTIONS_PER_REBALANCE
    while True:
        yield from random.sample(deck, len(deck))


@events.test_start.add_listener
def _create_large_models(environment: Environment, **_: Any) -> None:
    MixedUser.deck = shuffled_for_ever()
    with httpx.Client(base_url=f"{environment.host}/api/v1", timeout=TIMEOUT_SECONDS) as client:
        drafts = (
            MixedUser.market.model(positions=LARGE_POSITIONS, portfolios=LARGE_PORTFOLIOS) for _ in range(LARGE_MODELS)
        )
        created = [client.post("/models", json=MixedUser.model_body(draft)).raise_for_status() for draft in drafts]
    MixedUser.large_model_ids = [response.json()[MixedUser.field("model_id")] for response in created]


@events.test_stop.add_listener
def _delete_large_models(environment: Environment, **_: Any) -> None:
    with httpx.Client(base_url=f"{environment.host}/api/v1", timeout=TIMEOUT_SECONDS) as client:
        for model_id in MixedUser.large_model_ids:
            client.delete(f"/model/{model_id}", params={"version": 1}).raise_for_status()
