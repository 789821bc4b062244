"""A rebalance from files: reads what spreadsheets and brokers export, and writes trades, JSON and a report."""

from solver.files.command import ARGUMENTS, METAVARS, Request, main, run
from solver.files.document import (
    DriftDocument,
    ErrorDocument,
    PortfolioDocument,
    ProofDocument,
    TransactionDocument,
    WarningDocument,
    document_of,
    to_json,
)
from solver.files.problems import InvalidFile
from solver.files.report import REPORT_STYLE, render_page, render_report
from solver.planning import neutralized, proof_sentence, reason_of

__all__ = [
    "ARGUMENTS",
    "METAVARS",
    "REPORT_STYLE",
    "DriftDocument",
    "ErrorDocument",
    "InvalidFile",
    "PortfolioDocument",
    "ProofDocument",
    "Request",
    "TransactionDocument",
    "WarningDocument",
    "document_of",
    "main",
    "neutralized",
    "proof_sentence",
    "reason_of",
    "render_page",
    "render_report",
    "run",
    "to_json",
]
