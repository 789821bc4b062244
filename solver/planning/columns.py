"""What the columns of a table mean, by their headers in the languages and spellings of spreadsheets and brokers."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from enum import StrEnum


class Role(StrEnum):
    """The meaning of a column."""

    SECURITY_ID = "security id"
    SYMBOL = "symbol"
    ISIN = "ISIN"
    CUSIP = "CUSIP"
    CONTRACT_ID = "contract id"
    NAME = "name"
    QUANTITY = "quantity"
    PRICE = "price"
    COST = "cost"
    VALUE = "value"
    CURRENCY = "currency"
    ACCOUNT = "account"
    CLASS = "asset class"
    MULTIPLIER = "multiplier"
    LEVEL = "level of detail"
    TARGET = "target"
    DRIFT = "drift"
    LOW_DRIFT = "low drift"
    HIGH_DRIFT = "high drift"
    DATE = "date"
    ACTION = "action"
    TRADE_DETAIL = "trade detail"


IDENTIFIERS = (Role.SECURITY_ID, Role.SYMBOL, Role.ISIN, Role.CUSIP, Role.CONTRACT_ID, Role.NAME)
"""The columns that can name a security, the most exact first."""

_HEADERS: dict[Role, str] = {
    Role.SECURITY_ID: "security, security id, securityid, securityidentifier, instrument id, asset id, id, identifier,"
    " instrument, asset, holding, position name, wertpapier, titel, valeur, fondo",
    Role.SYMBOL: "symbol, ticker, ticker symbol, stock symbol, sym, financial instrument, symbole, stock, kürzel,"
    " simbolo, símbolo, ticker/symbol, symbol/ticker, stock ticker, trading symbol, underlying symbol",
    Role.ISIN: "isin, symbol/isin, symbole/isin, isin code, code isin, isin-code, símbolo/isin, simbolo/isin",
    Role.CUSIP: "cusip, cusip number, symbol/cusip, sedol, wkn, valor",
    Role.CONTRACT_ID: "conid, contract id, figi",
    Role.NAME: "description, name, product, investment name, investment, security name, security description, produkt,"
    " company, company name, fund name, fund, produit, prodotto, producto, bezeichnung, asset name, bezeichnung/name,"
    " holding name",
    Role.QUANTITY: "quantity, qty, qty (quantity), shares, units, share quantity, number of shares, shares held,"
    " share count, anzahl, stück, stücke, bestand, quantité, nombre, aantal, cantidad, quantità, quantita, qté,"
    " quantity held, no. of shares, total shares, current shares, menge, nominal, current quantity, holdings",
    Role.PRICE: "price, last price, close price, closing price, close, closing, mark price, share price, market price,"
    " current price, last, price per share, kurs, cours, koers, nav, clôture, slotkoers, schlusskurs, unit price,"
    " aktueller kurs, precio, prezzo, cierre, chiusura, latest price, price ($), price (usd), price (eur), price usd,"
    " price eur, quote, letzter kurs, preis, last trade price",
    Role.COST: "average cost, avg cost, average price, avg price, avg. price, cost price, purchase price, unit cost,"
    " cost basis per share, average cost basis, cost basis price, book price, open price, einstandskurs,"
    " average cost per share, avgcost, averagecost, avg cost/share, cost/share, cost per share, buy price, prix moyen,"
    " pru, price paid, cost basis, cost basis total, costbasis, einstand, kaufkurs, average buy price, averageprice,"
    " avg unit cost,"
    " avg. cost, cost, total cost, book cost, purchase cost, purchased price, average purchase price,"
    " cost basis money",
    Role.VALUE: "value, market value, mkt val, mkt val (market value), current value, total value, position value,"
    " market value ($), market value (usd), value in eur, value in usd, value in gbp, value in chf, wert,"
    " wert in eur, valeur en eur, marktwert, waarde in eur, valor en eur, valore in eur, balance, kurswert, amount ($),"
    " mkt value, valuation, value ($), marktwert in eur, total market value",
    Role.CURRENCY: "currency, ccy, currency primary, currencyprimary, währung, devise, valuta, divisa, moneda, cur",
    Role.ACCOUNT: "account number, account, account id, account name, accountid, clientaccountid, client account id,"
    " fund account number, fund account number/account number, konto, kontonummer, compte, portfolio, portfolio id,"
    " portfolioid, portfolio name, depot, cuenta",
    Role.CLASS: "type, security type, asset class, asset type, asset category, assetclass, instrument type, class,"
    " anlageklasse, typ, asset sub class, investment type",
    Role.MULTIPLIER: "mult, multiplier, contract multiplier",
    Role.LEVEL: "level of detail, levelofdetail, datadiscriminator, data discriminator",
    Role.TARGET: "target, target weight, weight, target allocation, allocation, target %, target (%), target percent,"
    " target percentage, percent, percentage, pct, %, % target, target pct, model weight, weight %, weight (%), model,"
    " allocation %, allocation (%), zielgewicht, zielgewichtung, soll, ziel, gewicht, target_weight, desired,"
    " desired %, desired allocation, desired weight, target share, goal, cible, objetivo, obiettivo, peso,"
    " poids, model %, zielgewicht %, zielgewicht (%), gewichtung, target allocation %, target alloc",
    Role.DRIFT: "drift, band, tolerance, drift band, tolerance band, +/-, ±, toleranz, drift %, drift (%), band %,"
    " band (%), tolerance %, tolerance (%), bandbreite, rebalancing band",
    Role.LOW_DRIFT: "low drift, low, lower drift, drift low, lowdrift, low drift %, low drift (%), lower band,"
    " drift down, lower tolerance",
    Role.HIGH_DRIFT: "high drift, high, upper drift, drift high, highdrift, high drift %, high drift (%), upper band,"
    " drift up, upper tolerance",
    Role.DATE: "date, trade date, tradedate, transaction date, run date, datum, fecha, activity date, date/time,"
    " datetime, date and time, buchungsdatum, handelsdatum, as of date, as of, report date, reportdate, executed at",
    Role.ACTION: "action, transaction type, transactiontype, activity type, activitytype, type of transaction,"
    " buy/sell, buysell, transaction, trans code, transaction description, order side, buy or sell, aktion,"
    " transaktion, trade type",
    Role.TRADE_DETAIL: "settlement date, settle date, settledate, order id, orderid, commission, commissions,"
    " fees & comm, comm/fee, t. price, fee, fees, time, commission ($), fees ($), trade id, tradeid, net amount,"
    " principal amount, transaction and/or third, transaction and/or third party fees, proceeds, venue,"
    " ibcommission, tradeprice",
}
_DEGIRO_AMOUNT = {"amount", "anzahl", "aantal", "quantité", "importo", "cantidad"}


def normalized(header: str) -> str:
    """Spell a header as the table of headers does: lower case, camel case and underscores as words."""
    text = unicodedata.normalize("NFC", header).strip().strip("*:").strip()
    if not text.isupper():
        text = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text)
    return " ".join(text.lower().replace("_", " ").split())


def _known() -> dict[str, Role]:
    known: dict[str, Role] = {}
    for role, headers in _HEADERS.items():
        for header in headers.split(","):
            spelled = " ".join(header.replace("_", " ").split())
            assert known.setdefault(spelled, role) is role, spelled
            known.setdefault(spelled.replace(" ", ""), role)
    return known


_KNOWN = _known()


_UNIT = re.compile(r"(?<=\S)\s*(?:\bin )?[(\[]?(?P<unit>[$€£]|us\$|\b(?:usd|eur|gbp|chf|cad|aud|sek|jpy))[)\]]?$")


def role_of(header: str) -> Role | None:
    """Return what a column means, by its header; None if it is not one of those known."""
    spelled = normalized(header)
    return next((role for name in (spelled, _UNIT.sub("", spelled)) if (role := _role(name))), None)


def unit_of(header: str) -> str | None:
    """Return the currency that a header names, as it is written there; None if it names none.

    >>> unit_of("Last Price $"), unit_of("Value in EUR"), unit_of("Price")
    ('$', 'eur', None)
    """
    found = _UNIT.search(normalized(header))
    return found["unit"] if found else None


def _role(spelled: str) -> Role | None:
    return _KNOWN.get(spelled) or _KNOWN.get(spelled.replace(" ", ""))


def roles_of(headers: Iterable[str]) -> dict[Role, list[int]]:
    """Return the indexes of the columns that have each meaning, in their order."""
    headers = list(headers)
    found: dict[Role, list[int]] = {}
    for index, header in enumerate(headers):
        role = role_of(header)
        if role is not None:
            found.setdefault(role, []).append(index)
    # "Amount" is money to most, and shares to DEGIRO, next to a product and its ISIN.
    if Role.QUANTITY not in found and Role.ISIN in found:
        amounts = [index for index, header in enumerate(headers) if normalized(header) in _DEGIRO_AMOUNT]
        if amounts:
            found[Role.QUANTITY] = amounts
    return found


def is_transactions(roles: Mapping[Role, list[int]]) -> bool:
    """Return whether columns describe trades: each row has a direction, or a date and what only a trade has."""
    if Role.ACTION in roles:
        return True
    # A position may have the date of its purchase, next to what it cost and what it is worth now.
    is_position = Role.COST in roles and Role.PRICE in roles
    return Role.DATE in roles and Role.TRADE_DETAIL in roles and not is_position


def has_percent_sign(header: str) -> bool:
    """Return whether a header declares its column as percentages."""
    spelled = normalized(header)
    return "%" in spelled or "percent" in spelled.split() or "percentage" in spelled.split() or "pct" in spelled.split()
