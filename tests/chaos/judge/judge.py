"""Judges what the service returned and stored, by what is true and what is disturbed."""

from tests.chaos.judge import oracle
from tests.chaos.judge.asked import BROKEN, Asked
from tests.chaos.judge.market import Market
from tests.chaos.judge.oracle import Model
from tests.chaos.judge.responses import Failure, StoredPortfolio, StoredRebalance


class Judge:
    """Every method raises AssertionError for a violation.

    Args:
        market: what is true.
        longest_seconds: no response may take longer.

    Attributes:
        blamed: what is disturbed just now, and so may be the reason of a failure: names of services, `solvers`,
            `database`, `worker`. A failure that blames anything else is a violation.
    """

    def __init__(self, market: Market, longest_seconds: float) -> None:
        self._market = market
        self._longest_seconds = longest_seconds
        self.blamed: set[str] = set()

    def call(self, asked: Asked) -> None:
        """What can be said of a response by itself."""
        assert asked.seconds < self._longest_seconds, "the response came long after the deadline"
        if asked.status == BROKEN:
            assert "worker" in self.blamed, "the connection broke, and the worker was alive"
            return
        if asked.failure is not None:
            self.failure(asked.failure)
            assert tuple(asked.failed) in ((), asked.portfolio_ids), "where all portfolios failed all are listed"
            return
        assert tuple(response.portfolio_id for response in asked.responses) == asked.portfolio_ids
        assert any(response.status == "COMPLETED" for response in asked.responses), (
            "all failed, and the response is 200"
        )
        assert len({response.rebalance_id for response in asked.responses}) == 1
        for response in asked.responses:
            assert (response.error is None) == (response.status == "COMPLETED")
            if response.error is not None:
                assert (response.transactions, response.drifts) == ([], []), "a failed portfolio trades nothing"
                if response.error.timestamp >= asked.began:  # or it is a replay, and was judged in its time
                    self.failure(response.error)

    def failure(self, failure: Failure) -> None:
        """Why something failed: it may blame only what is disturbed."""
        oracle.judge_failure(failure)
        told = f"{failure.code}: {failure.message}"
        match failure.code:
            case "EXTERNAL_SERVICE_ERROR":
                assert failure.details["service"] in self.blamed, told
                assert failure.details["service"] in failure.message, told
                assert failure.details["cause"], told
                assert failure.details["reason"] in failure.message, told
            case "BOOKS_INVALID":
                assert failure.details["service"] in self.blamed, told
                assert failure.details["reason"] in failure.message, told
            case "DATABASE_UNAVAILABLE":
                assert "database" in self.blamed, told
            case "DEADLINE_EXCEEDED" | "OVERLOADED":
                assert self.blamed, told
            case "INTERNAL_ERROR":
                assert "solvers" in self.blamed, told
                assert "solver process died twice" in failure.message, told
            case "OPTIMIZATION_FAILED":
                infeasible = failure.details["solverStatus"] == "INFEASIBLE"
                assert infeasible or "solvers" in self.blamed, told

    def rebalance(self, rebalance: StoredRebalance, asked: Asked) -> None:
        """What is stored of a rebalance, at the prices and holdings of this moment."""
        model = asked.model
        assert (rebalance.model_id, rebalance.model_name) == (model.model_id, model.name)
        assert tuple(portfolio.portfolio_id for portfolio in rebalance.portfolios) == asked.portfolio_ids
        for portfolio in rebalance.portfolios:
            self._portfolio(model, portfolio)

    def _portfolio(self, model: Model, portfolio: StoredPortfolio) -> None:
        if portfolio.error is None:
            assert portfolio.status == "COMPLETED"
            oracle.judge_completed(self._market, model, portfolio)
            return
        assert portfolio.positions == []
        self.failure(portfolio.error)
        _, held = self._market.held(portfolio.portfolio_id)
        needed = {*held, *(each.security_id for each in model.positions)}
        match portfolio.error.code:
            case "OPTIMIZATION_FAILED" if portfolio.error.details["solverStatus"] == "INFEASIBLE":
                oracle.judge_infeasible(self._market, model, portfolio.portfolio_id)
            case "PRICE_UNAVAILABLE":
                named = set(portfolio.error.details["securityIds"])
                assert (
                    named == {each for each in needed if self._market.price(each) is None} or "pricing" in self.blamed
                )
            case "SECURITY_NOT_FOUND":
                named = set(portfolio.error.details["securityIds"])
                assert named == {each for each in needed if not self._market.knows(each)} or "security" in self.blamed
