"""What a request's time went to, from the spans of its trace.

Every moment of the request is shared equally among what is going on in it at that moment, so that the stages add up to
the whole request, whether it is one portfolio or a hundred at once. A span without a span inside it is a stage of its
own, named by what it is; what a span does outside those within it is named by its neighbours in time. Stages that the
service moves to another process keep their names for as long as their spans do, and a span that is unknown here becomes
a stage under its own name.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from tests.harness.collector import Span

UPSTREAM = "upstream wait"
READ = "read model"
BUILD = "decode, build"
QUEUE = "queue"
SOLVE = "solve"
RECORD = "record, encode"
STORE = "store"
RESPONSE = "response"
OTHER = "other"
STAGES = (READ, UPSTREAM, BUILD, QUEUE, SOLVE, RECORD, STORE, RESPONSE, OTHER)
"""In the order of a rebalance; stages that are not among them come last."""

NAMES = {"wait for solver": QUEUE, "record": RECORD}
READS = frozenset({"find", "aggregate", "getMore"})
NANOSECONDS = 1e-9


class _Stretch(Struct, frozen=True):
    """Time in one stage, in nanoseconds."""

    stage: str
    began: int
    ended: int


def stage_seconds(trace: Sequence[Span]) -> dict[str, float]:
    """Return the seconds of a request in each stage; together they are the seconds of its outermost span.

    What the request left behind and nobody waited for, of which the trace may have a part only, is not counted.
    """
    inside: dict[str, list[Span]] = defaultdict(list)
    for span in trace:
        inside[span.parent_id].append(span)
    (request,) = (span for span in trace if span.kind == "SERVER")
    return _shared(_stretches(request, request.began, request.ended, inside))


def _stretches(span: Span, began: int, ended: int, inside: Mapping[str, list[Span]]) -> Iterable[_Stretch]:
    """Cut a span, as far as it lies between two moments, into stretches that are one stage each."""
    began, ended = max(began, span.began), min(ended, span.ended)
    children = sorted(inside.get(span.span_id, ()), key=lambda child: child.began)
    if not children:
        yield _Stretch(_stage(span), began, ended)
        return
    moment, before = began, ""
    for child in children:
        after = _stage(child)
        if child.began > moment:
            yield _Stretch(_between(before, after), moment, min(child.began, ended))
        yield from _stretches(child, began, ended, inside)
        if child.ended > moment:
            moment, before = child.ended, after
    if moment < ended:
        yield _Stretch(_between(before, ""), moment, ended)


def _stage(span: Span) -> str:
    """Return the stage that a span belongs to; one with spans inside it has its own name."""
    if "db.system.name" in span.attributes:
        # Named by database and command, as OpenTelemetry's instrumentation of PyMongo does.
        return READ if span.name.rpartition(".")[2] in READS else STORE
    return UPSTREAM if span.kind == "CLIENT" else NAMES.get(span.name, span.name)


def _between(before: str, after: str) -> str:
    """Name the time between two stages of one span; the empty text is its beginning or its end."""
    if after == QUEUE:
        return BUILD
    if before in {SOLVE, RECORD, "portfolio"}:
        return RECORD
    if before == after == STORE:
        return STORE
    return RESPONSE if before == "rebalance" else OTHER


def _shared(stretches: Iterable[_Stretch]) -> dict[str, float]:
    """Go through time from change to change, and share each piece among the stretches that cover it."""
    changes: list[tuple[int, int, str]] = []
    for stretch in stretches:
        if stretch.ended > stretch.began:
            changes += [(stretch.began, 1, stretch.stage), (stretch.ended, -1, stretch.stage)]
    changes.sort()
    seconds: dict[str, float] = defaultdict(float)
    active: dict[str, int] = defaultdict(int)
    moment = 0
    for at, step, stage in changes:
        if at > moment and (number := sum(active.values())):
            for each, count in active.items():
                seconds[each] += NANOSECONDS * (at - moment) * count / number
        moment = at
        active[stage] += step
    return dict(seconds)
