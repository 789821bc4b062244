"""The flow of the suite's load generator: create a model, read it, rebalance it, read the rebalance."""

from typing import Any

from locust import task

from benchmarks.load.service_level import REBALANCE
from benchmarks.load.service_user import ServiceUser

type Json = Any

ROW = ("security_id", "transaction_type", "trade_quantity", "target")
"""What the load generator indexes on every row: a key left out would be a crash there."""


class FlowUser(ServiceUser):
    """Goes through the flow again and again, with a new model each time."""

    @task
    def flow(self) -> None:
        """Go through it once; a failed call ends it."""
        draft = self.market.model()
        model = self.create_model(draft)
        path = f"/model/{model[self.field('model_id')]}"

        def is_the_model(read: Json) -> None:
            assert read == model

        self.call("read model", "GET", path, is_the_model)
        rebalance_id = self.call(REBALANCE, "POST", f"{path}/rebalance", self._rebalance_id)

        def has_every_row(rebalance: Json) -> None:
            portfolios = rebalance["portfolios"]
            assert [each[self.field("portfolio_id")] for each in portfolios] == draft.portfolios
            for portfolio in portfolios:
                rows = [tuple(row[self.field(key)] for key in ROW) for row in portfolio["positions"]]
                assert {security_id for security_id, *_ in rows} >= {each.security_id for each in draft.positions}

        self.call("read rebalance", "GET", f"/rebalance/{rebalance_id}", has_every_row)

    def _rebalance_id(self, portfolios: Json) -> str:
        """Find every portfolio rebalanced; return the id under which that is stored."""
        statuses = [each["status"] for each in portfolios]
        assert statuses == ["COMPLETED"] * 3, statuses
        rebalance_id: str = portfolios[0][self.field("rebalance_id")]
        return rebalance_id
