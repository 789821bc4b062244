"""The dashboard, the alert rules and their documentation, against what a running service really shows."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml
from msgspec import Struct

from integrations.simulator import ErrorStatus, Garbage, GarbageKind
from integrations.simulator import Service as Upstream
from tests.harness.service import Scrape, Service, until
from tests.harness.upstreams import Upstreams

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "monitoring" / "dashboard.json"
ALERTS = ROOT / "monitoring" / "alerts.yaml"
DOCUMENT = ROOT / "docs" / "monitoring.md"

BY_PROMETHEUS = frozenset({"instance", "job", "namespace"})
"""Labels that no service shows: Prometheus adds them as it scrapes."""

OF_PROMETHEUS = frozenset({"up"})
"""Metrics that no service shows: Prometheus makes them as it scrapes."""


class Query(Struct, frozen=True):
    """A query and the labels that the text around it mentions."""

    place: str
    text: str
    mentioned: frozenset[str]


def dashboard_queries() -> Iterator[Query]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", []):
            mentioned = frozenset(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
            text = (
                target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$namespace", ".*")
            )
            yield Query(f"{panel['title']} {target['refId']}", text, mentioned)


def alert_rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def alert_queries() -> Iterator[Query]:
    for rule in alert_rules():
        mentioned = frozenset(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        yield Query(str(rule["alert"]), str(rule["expr"]), mentioned)


QUERIES = [*dashboard_queries(), *alert_queries()]


@pytest.fixture(scope="module")
def scrape(traced: Service, upstreams: Upstreams) -> Scrape:
    """What a service shows that has seen good and bad."""
    portfolios = [upstreams.portfolio() for _ in range(2)]
    model_id = traced.create_model(upstreams.securities(3), portfolios, drift="0.05")
    traced.rebalance(model_id).raise_for_status()
    upstreams.inject(Upstream.PORTFOLIO_ACCOUNTING, ErrorStatus(status=503, calls=1))
    traced.rebalance(model_id).raise_for_status()
    upstreams.inject(Upstream.PRICING, Garbage(kind=GarbageKind.HTML))
    traced.rebalance(model_id)
    upstreams.restore()
    traced.client.get("/nowhere")
    # A request is counted after its response was sent.
    wanted = {"path": "unknown", "status": "404"}
    return until(lambda: (found := traced.scrape()).value("http_requests_total", **wanted) and found) or Scrape("")


class Selector(Struct, frozen=True):
    """What a query reads of one metric: with which conditions, and whether over a time or at a moment."""

    metric: str
    matchers: tuple[promql.Matcher, ...]
    over_time: bool


def parts(expression: object) -> list[object]:
    """The expressions that an expression is made of."""
    match expression:
        case promql.MatrixSelector():
            return [expression.vector_selector]
        case promql.AggregateExpr() | promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return [expression.expr]
        case promql.BinaryExpr():
            return [expression.lhs, expression.rhs]
        case promql.Call():
            return list(expression.args)
        case _:
            return []


def selectors(expression: object, *, over_time: bool = False) -> Iterator[Selector]:
    """All that an expression reads."""
    if isinstance(expression, promql.VectorSelector):
        assert expression.name is not None
        yield Selector(expression.name, tuple(expression.matchers.matchers), over_time)
    for part in parts(expression):
        yield from selectors(part, over_time=over_time or isinstance(expression, promql.MatrixSelector))


def groupings(expression: object) -> Iterator[tuple[set[str], list[Selector]]]:
    """The labels by which an expression groups, each with what it groups by them."""
    if isinstance(expression, promql.AggregateExpr) and expression.modifier is not None:
        yield set(expression.modifier.labels), list(selectors(expression))
    for part in parts(expression):
        yield from groupings(part)


def labels_of(metric: str, scrape: Scrape) -> set[str]:
    return {label for labels in scrape.labels(metric) for label in labels} | BY_PROMETHEUS


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_a_query_reads_what_the_service_shows(query: Query, scrape: Scrape) -> None:
    """Each metric exists, with the labels that are asked for, and so does a series with the values that are asked for.

    A condition on the status of responses is only held to its label: a healthy service has no 5xx.
    """
    expression = promql.parse(query.text)
    read = [selector for selector in selectors(expression) if selector.metric not in OF_PROMETHEUS]
    assert read
    for selector in read:
        series = scrape.labels(selector.metric)
        assert series, f"there is no {selector.metric}"
        assert {matcher.name for matcher in selector.matchers} <= labels_of(selector.metric, scrape), selector
        chosen = [matcher for matcher in selector.matchers if matcher.name not in BY_PROMETHEUS | {"status"}]
        assert [each for each in series if all(_matches(each, matcher) for matcher in chosen)], selector
    kept = set[str]()
    for labels, grouped in groupings(expression):
        kept |= labels
        for selector in grouped:
            assert labels <= labels_of(selector.metric, scrape), selector
    left = kept or {label for selector in read for label in labels_of(selector.metric, scrape)}
    assert query.mentioned <= left, "a label in the text that the result does not have"


def _matches(labels: dict[str, str], matcher: promql.Matcher) -> bool:
    value = labels.get(matcher.name, "")
    match matcher.op:
        case promql.MatchOp.Equal:
            return value == matcher.value
        case promql.MatchOp.NotEqual:
            return value != matcher.value
        case promql.MatchOp.Re:
            return re.fullmatch(matcher.value, value) is not None
        case _:
            return re.fullmatch(matcher.value, value) is None


def test_counters_are_only_read_over_time() -> None:
    """A counter begins at 0 with every process; only its growth means anything."""
    read = [(query, selector) for query in QUERIES for selector in selectors(promql.parse(query.text))]
    assert len(read) >= len(QUERIES) > 0
    for query, selector in read:
        assert selector.over_time or not selector.metric.endswith(("_total", "_sum", "_count", "_bucket")), query


def own_metrics(scrape: Scrape) -> set[str]:
    """The service's own metrics, by the names that counters and histograms are declared with."""
    families = {f"{name}_total" if family.type == "counter" else name for name, family in scrape.families.items()}
    return {name for name in families if name.startswith(("order_generation_", "http_"))}


def test_each_metric_is_documented_and_each_documented_one_exists(scrape: Scrape) -> None:
    """The table of the documentation and the scraped service have the same names."""
    documented = set(re.findall(r"^\| `((?:order_generation_|http_)\w+)`", DOCUMENT.read_text(), re.MULTILINE))
    assert documented == own_metrics(scrape)


def test_each_metric_is_on_the_dashboard(scrape: Scrape) -> None:
    """Each metric of the service is read by at least one query of a panel."""
    read = {selector.metric for query in dashboard_queries() for selector in selectors(promql.parse(query.text))}
    assert own_metrics(scrape) <= {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in read}


def test_each_alert_has_its_section_with_what_to_do() -> None:
    """Every rule has a section of the documentation, of more than a line."""
    sections = dict(
        re.findall(r"^### (OrderGeneration\w+)\n\n(.*?)(?=\n#|\Z)", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    )
    assert set(sections) == {rule["alert"] for rule in alert_rules()}
    assert all(len(text) > 80 for text in sections.values())


def test_rules_are_whole() -> None:
    """A rule has only known keys, one of three severities, and a duration that Prometheus can parse."""
    rules = alert_rules()
    assert rules
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"] in [{"severity": severity} for severity in ("critical", "warning", "info")]
        assert re.fullmatch(r"(\d+[smh])?", str(rule.get("for", "")))


def test_panels_have_ids_and_places_of_their_own() -> None:
    """Ids are unique, no two panels overlap, and none exceeds the 24 columns of the grid."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
