"""Labels of rows that are no security: cash, totals and pending activity."""

import re
import unicodedata

_CASH = re.compile(
    r"""
    (?: \$?cash (?: [-_:/ ]? \(? [a-z]{3} \)? )?              # CASH, $CASH-USD, Cash (EUR)
      | [a-z]{3} [ -]? cash                                   # USD cash
      | cash \ (?: & | and ) \ (?: cash\ (?: investments? | fund .* ) | (?: cash\ )? equivalents? | sweep .* )
      | cash \ (?: & | and ) \ money\ market
      | cash \ & \ cash \ fund .*
      | (?: core | settled | available | free | uninvested | total | account | net | ending | starting | held | in )
        \ cash (?: \ balance )?
      | cash \ (?: balance s? | position | account | reserve | core | sweep | holdings? | available | on\ hand )
      | (?: core \ )? fcash (?: \*\* )?
      | (?: us | u\.s\.) \ dollars? | u\.?s\.? \ dollar \ cash | euro \ cash
      | bargeld | barbestand | liquidität | kontostand | liquidités | espèces | contanti | liquidità | efectivo
      | geld (?: \ & .* )? | kasse | guthaben
    )
    """,
    re.VERBOSE,
)
_TOTAL = re.compile(
    r"(?:account |grand |portfolio |sub[- ]?|positions? |overall )?totals?:?(?: .*)?|sum|summe|gesamt(?:summe|wert)?"
    r"|totale|somme|saldo|net (?:asset|account|liquidation) value|nav|account value"
)
_CERTAIN_TOTAL = re.compile(r"(?:account |grand |portfolio |overall |sub[- ]?)?totals?:?")
_PENDING = re.compile(r"pending activity|unsettled (?:activity|cash|trades)|pending (?:cash|credits?|debits?|trades)")


def is_cash(label: str) -> bool:
    """Return whether a label calls its row cash; a money market fund is not cash unless it is called so.

    >>> is_cash("Cash & Cash Investments"), is_cash("$CASH-USD"), is_cash("VMFXX"), is_cash("CASHCO")
    (True, True, False, False)
    """
    return _CASH.fullmatch(_folded(label)) is not None


def is_total(label: str) -> bool:
    """Return whether a label calls its row a total."""
    return _TOTAL.fullmatch(_folded(label)) is not None


def is_certain_total(label: str) -> bool:
    """Return whether a label is that of a total alone, and not the beginning of a name."""
    return _CERTAIN_TOTAL.fullmatch(_folded(label)) is not None


def is_pending(label: str) -> bool:
    """Return whether a label is of trades that are not settled."""
    return _PENDING.fullmatch(_folded(label)) is not None


def _folded(label: str) -> str:
    return " ".join(unicodedata.normalize("NFC", label).lower().split())
