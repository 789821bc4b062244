"""The report of a rebalance as HTML, rendered from plain data with the standard library.

`render_report` returns a fragment without styles and scripts, which a page under a strict content security policy can
embed next to `REPORT_STYLE`; `render_page` returns a document that needs nothing else.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape

from solver.files.document import DriftDocument, PortfolioDocument, TransactionDocument
from solver.planning.exact import EXACT, money, plain
from solver.planning.plan import percent

REPORT_STYLE = """
.report { font: 15px/1.5 system-ui, sans-serif; color: #1b1f24; max-width: 72rem; margin: 0 auto; padding: 1rem; }
.report h1 { font-size: 1.5rem; } .report h2 { font-size: 1.2rem; } .report h3 { font-size: 1rem; }
.report dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 0 0 1rem; }
.report dt { color: #57606a; font-size: .85rem; } .report dd { margin: 0; font-weight: 600; }
.report .wide { overflow-x: auto; }
.report table { border-collapse: collapse; width: 100%; margin-bottom: 1rem; font-variant-numeric: tabular-nums; }
.report th, .report td { text-align: left; padding: .3rem .6rem; vertical-align: top; }
.report th, .report td { border-bottom: 1px solid #d0d7de; }
.report .trades td:last-child { min-width: 14rem; }
.report .number { text-align: right; white-space: nowrap; }
.report .buy { color: #0a5c2b; font-weight: 600; } .report .sell { color: #8f1d1d; font-weight: 600; }
.report .warning { border-left: 4px solid #9a6700; padding-left: .75rem; }
.report .failed { border-left: 4px solid #8f1d1d; padding-left: .75rem; }
.report svg { display: block; } .report .axis { fill: #eaeef2; } .report .band { fill: #9ec5e8; }
.report .before { fill: none; stroke: #57606a; stroke-width: 1.5; } .report .after { fill: #0b3d6b; }
.report .goal { stroke: #1b1f24; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  .report { color: #e6edf3; background: #0d1117; } .report dt { color: #9ba5af; }
  .report th, .report td { border-color: #30363d; } .report .buy { color: #4ecb7d; } .report .sell { color: #ff8b82; }
  .report .axis { fill: #21262d; } .report .band { fill: #2f5d8a; } .report .after { fill: #cfe6ff; }
  .report .before { stroke: #9ba5af; } .report .goal { stroke: #e6edf3; }
}
@media print {
  .report { max-width: none; color: #000; background: #fff; } .report section { break-inside: avoid-page; }
}
"""


def render_page(documents: Sequence[PortfolioDocument], title: str, notes: Sequence[str] = ()) -> str:
    """Return a self-contained HTML document.

    Args:
        documents: the portfolios.
        title: text of the heading.
        notes: how the input was interpreted, in sentences.
    """
    body = render_report(documents)
    if notes:
        items = "".join(f"<li>{escape(note)}</li>" for note in notes)
        body += f"<section><h2>How the files were read</h2><ul>{items}</ul></section>"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>body {{ margin: 0; }}{REPORT_STYLE}</style></head>"
        f'<body class="report"><h1>{escape(title)}</h1>{body}</body></html>\n'
    )


def render_report(documents: Sequence[PortfolioDocument]) -> str:
    """Return the report of portfolios as an HTML fragment without styles and scripts; all text is escaped."""
    return "".join(map(_portfolio, documents))


def _portfolio(document: PortfolioDocument) -> str:
    name = document.portfolio_name or document.portfolio_id
    heading = f"<h2>{escape(name)}</h2>" if name else ""
    if document.error is not None:
        return f'<section>{heading}<p class="failed"><strong>{escape(document.error.code)}</strong> {escape(document.error.message)}</p></section>'  # noqa: E501
    return (
        f"<section>{heading}{_figures(document)}{_proof(document)}{_warnings(document)}{_trades(document)}"
        f"{_weights(document.drifts)}</section>"
    )


def _figures(document: PortfolioDocument) -> str:
    figures = (
        ("Market value", _money(document.market_value)),
        ("Cash before", _money(document.cash_before_rebalance)),
        ("Cash after", _money(document.cash_after_rebalance)),
        ("Drift before", _percent(document.drift_before)),
        ("Drift after", _percent(document.drift_after)),
        ("Turnover", _percent(document.turnover)),
        ("Fees", _money(document.fees)),
    )
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in figures) + "</dl>"


def _proof(document: PortfolioDocument) -> str:
    sentence = document.proof.sentence if document.proof else None
    return f"<p>{escape(sentence)}</p>" if sentence else ""


def _warnings(document: PortfolioDocument) -> str:
    return "".join(f'<p class="warning">{escape(warning.message)}</p>' for warning in document.warnings)


def _trades(document: PortfolioDocument) -> str:
    if not document.transactions:
        return "<h3>Trades</h3><p>No trades: the portfolio is as close to its targets as bands and rules allow.</p>"
    weights = {drift.security_id: drift for drift in document.drifts}
    return "<h3>Trades</h3>" + _table(
        (
            "Trade",
            "Security",
            "Ticker",
            ("Quantity",),
            ("Price",),
            ("Value",),
            ("Weight before",),
            ("after",),
            "Reason",
        ),
        (_trade(transaction, weights.get(transaction.security_id)) for transaction in document.transactions),
        "Trades",
    )


def _trade(transaction: TransactionDocument, drift: DriftDocument | None) -> tuple[str, ...]:
    kind = "buy" if transaction.transaction_type == "BUY" else "sell"
    value = EXACT.multiply(Decimal(transaction.quantity), transaction.price)
    return (
        f'<span class="{kind}">{escape(transaction.transaction_type)}</span>',
        escape(transaction.security_id),
        escape(transaction.ticker or ""),
        _quantity(transaction.quantity),
        _money(transaction.price),
        _money(value),
        _percent(drift.original_actual if drift else None),
        _percent(drift.actual if drift else None),
        escape(transaction.reason or ""),
    )


def _weights(drifts: Sequence[DriftDocument]) -> str:
    if not drifts:
        return ""
    scale = max((max(drift.original_actual, drift.actual, _upper(drift)) for drift in drifts), default=Decimal(0))
    return "<h3>Weights</h3>" + _table(
        (
            "Security",
            "Ticker",
            ("Target",),
            ("Before",),
            ("After",),
            "Band, before (ring) and after (dot)",
            "Restraint",
        ),
        (
            (
                escape(drift.security_id),
                escape(drift.ticker or ""),
                _percent(drift.target),
                _percent(drift.original_actual),
                _percent(drift.actual),
                _drawing(drift, max(scale, Decimal("0.0001"))),
                escape((drift.restraint or "").replace("_", " ").lower()),
            )
            for drift in drifts
        ),
        "Weights",
    )


def _upper(drift: DriftDocument) -> Decimal:
    """Return the end of the band, or the target if the band has no end."""
    return drift.target if drift.high_drift >= 1 else drift.target + drift.high_drift


def _drawing(drift: DriftDocument, scale: Decimal) -> str:
    """Draw the band of a security with its weight before and after."""
    width = Decimal(200)

    def x(weight: Decimal) -> str:
        inside = min(max(weight / scale, Decimal(0)), Decimal(1))
        return plain((5 + (width - 10) * inside).quantize(Decimal("0.1"), ROUND_HALF_UP))

    low = max(drift.target - drift.low_drift, Decimal(0))
    has_band = drift.high_drift < 1 and (drift.low_drift or drift.high_drift)
    band = (
        f'<rect class="band" x="{x(low)}" y="3" height="10"'
        f' width="{plain(max(Decimal(x(_upper(drift))) - Decimal(x(low)), Decimal(1)))}"/>'
        if has_band
        else ""
    )
    label = f"{_percent(drift.original_actual)} before, {_percent(drift.actual)} after, target {_percent(drift.target)}"
    return (
        f'<svg viewBox="0 0 200 16" width="200" height="16" role="img" aria-label="{label}">'
        f'<rect class="axis" x="5" y="7" width="190" height="2"/>{band}'
        f'<line class="goal" x1="{x(drift.target)}" x2="{x(drift.target)}" y1="1" y2="15"/>'
        f'<circle class="before" cx="{x(drift.original_actual)}" cy="8" r="4"/>'
        f'<circle class="after" cx="{x(drift.actual)}" cy="8" r="3"/></svg>'
    )


def _table(headers: Sequence[str | tuple[str]], rows: Iterable[Sequence[str]], name: str) -> str:
    """Return a table that can be scrolled by keyboard; a header in a tuple is of a column of numbers."""
    classes = [' class="number"' if isinstance(header, tuple) else "" for header in headers]
    names = [header[0] if isinstance(header, tuple) else header for header in headers]
    head = "".join(f'<th scope="col"{style}>{name}</th>' for name, style in zip(names, classes, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{style}>{cell}</td>" for cell, style in zip(row, classes, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{name}"><table class="{name.lower()}">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _money(amount: Decimal | None) -> str:
    """Write money; nothing for None."""
    return "" if amount is None else money(amount)


def _quantity(quantity: int | Decimal) -> str:
    whole, point, fraction = plain(Decimal(quantity)).partition(".")
    return f"{int(whole):,}{point}{fraction}"


def _percent(share: Decimal | None) -> str:
    return "" if share is None else percent(share)
