"""Holdings: cash, accounts, duplicates, prices and currencies, each understood or rejected with its place."""

from pathlib import Path

import pytest

from solver.files.holdings import read_holdings
from solver.files.text import read_table_text
from tests.solver.files.planning import plan, rejection, trades

TARGETS = "symbol,target\nAAA,50%\nBBB,40%\n"
HELD = "symbol,quantity,price\nAAA,100,10\nBBB,50,20\n"


@pytest.mark.parametrize("label", ["CASH", "Cash", "$CASH-USD", "Cash & Cash Investments", "USD cash", "Bargeld"])
@pytest.mark.parametrize("cells", ["500,", "500,1", ",500"])
def test_a_cash_row_is_cash(label: str, cells: str, tmp_path: Path) -> None:
    """The amount is the quantity, or what stands where the price is."""
    outcome = plan(tmp_path, f"{HELD}{label},{cells}\n", TARGETS)
    assert "Cash: 500.00 before" in outcome.output


def test_cash_in_a_column_of_values(tmp_path: Path) -> None:
    """A value in the cash row is the amount."""
    held = "symbol,quantity,price,market value\nAAA,100,10,1000\nBBB,50,20,1000\nCash,,,$500.25\n"
    assert "Cash: 500.25 before" in plan(tmp_path, held, TARGETS).output


def test_cash_that_differs_from_the_option_is_an_error(tmp_path: Path) -> None:
    """A cash row and --cash must agree."""
    error = rejection(tmp_path, HELD + "Cash,500,\n", TARGETS, cash="501")
    assert "holdings.csv, line 4" in error
    assert "500 here, but --cash is 501" in error
    assert plan(tmp_path, HELD + "Cash,500,\n", TARGETS, cash="500.00").code == 0


def test_without_any_cash_the_cash_is_zero_and_reported(tmp_path: Path) -> None:
    """No money is invented."""
    assert "no cash row and no --cash: the cash is 0" in plan(tmp_path, HELD, TARGETS).output


def test_two_cash_rows_are_an_error(tmp_path: Path) -> None:
    """Cash that is stated twice in one account may be counted twice."""
    assert "lines 4 and 5" in rejection(tmp_path, HELD + "Cash,500,\nSettled cash,500,\n", TARGETS)


def test_a_money_fund_is_a_security(tmp_path: Path) -> None:
    """A money market fund is sold like any other security without a target."""
    held = "symbol,description,quantity,price,type\nAAA,A,100,10,Stock\nBBB,B,50,20,Stock\n"
    held += "MMFX,MONEY MARKET FUND,500,1,Cash and Money Market\n"
    assert trades(tmp_path, held, TARGETS)["MMFX"] == "-500"


def test_a_class_of_cash_is_cash(tmp_path: Path) -> None:
    """A row whose asset class is cash is cash, whatever its symbol."""
    held = "symbol,quantity,price,asset class\nAAA,100,10,Stock\nBBB,50,20,Stock\nUSD,500,1,Cash\n"
    assert "Cash: 500.00 before" in plan(tmp_path, held, TARGETS).output


def test_the_same_security_twice_in_one_account_names_both_lines(tmp_path: Path) -> None:
    """Two rows of a security may be lots or a mistake, so the user decides."""
    error = rejection(tmp_path, HELD + "AAA,5,10\n", TARGETS)
    assert "AAA is held twice" in error
    assert "lines 2 and 4" in error


def test_accounts_are_summed_and_reported(tmp_path: Path) -> None:
    """The same security in two accounts is one holding."""
    held = "account,symbol,quantity,price\nX,AAA,100,10\nY,AAA,20,10\nX,BBB,1,20\n"
    outcome = plan(tmp_path, held, TARGETS)
    assert "2 accounts are summed into one portfolio: X, Y" in outcome.output
    assert "AAA is summed over lines 2 and 3: 120 shares" in outcome.output
    assert "lines 2 and 5" in rejection(tmp_path, held + "X,AAA,1,10\n", TARGETS)


def test_average_cost_is_never_a_price(tmp_path: Path) -> None:
    """A file whose only money is what was paid has no prices."""
    error = rejection(tmp_path, "symbol,quantity,average cost\nAAA,100,10\nBBB,50,20\n", TARGETS)
    assert "line 2" in error
    assert "AAA has no price" in error
    assert '"average cost" is not a price' in error


def test_a_new_security_without_a_price_is_named(tmp_path: Path) -> None:
    """A target that is not held needs a price from somewhere."""
    error = rejection(tmp_path, HELD, TARGETS + "CCC,5%\n")
    assert "targets.csv, line 4: CCC has no price" in error
    assert trades(tmp_path, HELD, TARGETS + "CCC,5%\n", prices="symbol,price\nCCC,10\n")["CCC"] == "10"


def test_prices_of_the_option_apply_and_the_difference_is_reported(tmp_path: Path) -> None:
    """--prices takes precedence."""
    outcome = plan(tmp_path, HELD, TARGETS, prices="ticker;last price\nAAA;12,50\nBBB;20\n")
    assert outcome.code == 0
    assert "1 price of the holdings differ" in outcome.output
    assert "Market value: 2,250.00" in outcome.output


@pytest.mark.parametrize("price", ["0", "-5", "0.00"])
def test_a_price_that_is_not_above_zero_is_an_error(price: str, tmp_path: Path) -> None:
    """A worthless security cannot be traded to a target."""
    error = rejection(tmp_path, f"symbol,quantity,price\nAAA,100,{price}\nBBB,50,20\n", TARGETS)
    assert 'line 2, column "price"' in error
    assert "above 0" in error


@pytest.mark.parametrize("price", ["0", "-5", "0.00"])
def test_a_price_of_the_option_that_is_not_above_zero_is_an_error(price: str, tmp_path: Path) -> None:
    """A file of prices has the same rule as the prices of the holdings."""
    error = rejection(tmp_path, HELD, TARGETS, prices=f"symbol,price\nAAA,{price}\nBBB,20\n")
    assert f'line 2, column "price": the price must be above 0, is {price}' in error


def test_contradictory_prices_name_both_lines(tmp_path: Path) -> None:
    """Two prices of one security are an error in both files."""
    assert "but 10 in line 2" in rejection(tmp_path, HELD, TARGETS, prices="symbol,price\nAAA,10\nBBB,2\nAAA,11\n")
    held = "account,symbol,quantity,price\nX,AAA,100,10\nY,AAA,20,11\nX,BBB,1,20\n"
    assert "but 10 in line 2" in rejection(tmp_path, held, TARGETS)


def test_two_currencies_are_an_error(tmp_path: Path) -> None:
    """Prices in different currencies cannot be added."""
    held = "symbol,quantity,price,currency\nAAA,100,10,USD\nBBB,50,20,EUR\n"
    error = rejection(tmp_path, held, TARGETS)
    assert "the currency is EUR here, but USD in line 2" in error
    assert trades(tmp_path, held, TARGETS, prices="symbol,price\nAAA,10\nBBB,20\n")
    assert "EUR" in rejection(tmp_path, "symbol,quantity,price\nAAA,100,$10\nBBB,50,€20\n", TARGETS)


def test_a_value_that_contradicts_quantity_and_price_is_an_error(tmp_path: Path) -> None:
    """A price in pence, or of another currency, is recognised by the value of the position."""
    held = "symbol,quantity,price,value\nAAA,100,1000,1000\nBBB,50,20,1000\n"
    error = rejection(tmp_path, held, TARGETS)
    assert "line 2" in error
    assert "quantity x price is 100000, but the value is 1000" in error
    assert trades(tmp_path, held, TARGETS, prices="symbol,price\nAAA,10\nBBB,20\n")


def test_options_and_futures_are_rejected(tmp_path: Path) -> None:
    """A contract with a multiplier is no security with whole shares."""
    held = "symbol,quantity,price,multiplier\nAAA,100,10,1\nBBB,50,20,100\n"
    assert "the contract multiplier is 100" in rejection(tmp_path, held, TARGETS)


def test_a_quantity_is_required(tmp_path: Path) -> None:
    """A security without shares is no holding of zero."""
    error = rejection(tmp_path, "symbol,quantity,price\nAAA,,10\nBBB,50,20\n", TARGETS)
    assert 'line 2, column "quantity": the security has no quantity' in error


def test_spellings_that_may_be_the_same_security_are_an_error(tmp_path: Path) -> None:
    """BRK.B and BRK/B are not two securities by accident; upper and lower case are one."""
    error = rejection(tmp_path, "symbol,quantity,price\nXY/B,100,10\n", "symbol,target\nXY.B,50%\n")
    assert '"XY/B" and "XY.B"' in error
    assert trades(tmp_path, "symbol,quantity,price\naaa,0,10\n", "symbol,target\nAAA,50%\n", cash="100") == {"AAA": "5"}


def test_files_are_matched_by_what_they_have_in_common(tmp_path: Path) -> None:
    """Holdings with ISIN and symbol match targets that have either; different kinds are an error."""
    held = "isin,ticker,quantity,price\nUS0000000019,AAA,100,10\nUS0000000027,BBB,50,20\n"
    assert trades(tmp_path, held, "isin,target\nUS0000000019,90%\n") == {"US0000000027": "-50", "US0000000019": "80"}
    assert trades(tmp_path, held, "security,target\nAAA,90%\n") == {"BBB": "-50", "AAA": "80"}
    error = rejection(tmp_path, "isin,quantity,price\nUS0000000019,100,10\n", "ticker,target\nAAA,90%\n")
    assert "do not name securities in the same way" in error


def test_a_file_without_headers_says_what_is_expected(tmp_path: Path) -> None:
    """The message shows what was found and what is needed."""
    error = rejection(tmp_path, "AAA,100,10\nBBB,50,20\n", TARGETS)
    assert "no line has the headers of holdings" in error
    assert "Symbol, Quantity, Price" in error


def test_two_columns_that_can_be_the_price_are_an_error(tmp_path: Path) -> None:
    """The user decides which one applies."""
    error = rejection(tmp_path, "symbol,quantity,price,last price\nAAA,100,10,11\n", TARGETS)
    assert 'the columns "price" and "last price" can each be the price' in error


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("USD,500,1", '"USD" is either cash or a security'),
        ("EUR,500,", '"EUR" is either cash or a security'),
        ("Total,150,30", '"Total" is either a total or a security'),
        ("Cash,,", "the cash row has no amount"),
        ("Cash,500,499", "the cash is either 500 or 499"),
        (",150,", "the row has a quantity, but no security"),
    ],
)
def test_a_row_with_two_meanings_is_an_error(row: str, problem: str, tmp_path: Path) -> None:
    """What may be cash, a total or a security is decided by the user."""
    error = rejection(tmp_path, f"{HELD}{row}\n", TARGETS)
    assert "holdings.csv, line 4" in error
    assert problem in error


@pytest.mark.parametrize(
    "row", ["Total,,2000", "Total,150,", "", "Prices as of the close, delayed", "# all data delayed"]
)
def test_totals_and_sentences_below_the_table_are_ignored(row: str, tmp_path: Path) -> None:
    """They change nothing, and are reported."""
    assert trades(tmp_path, f"{HELD}\n{row}\n", TARGETS) == {"BBB": "-10"}


def test_a_list_of_trades_is_recognised_by_its_cells(tmp_path: Path) -> None:
    """Directions in any column make a list of transactions, whatever its header."""
    held = "symbol,kind,quantity,price\nAAA,Buy,100,10\nBBB,Dividend,50,20\n"
    error = rejection(tmp_path, held, TARGETS)
    assert 'column "kind": is a list of transactions' in error


def test_json_is_not_csv(tmp_path: Path) -> None:
    """An export of activities as JSON is named as such."""
    assert "is JSON, not CSV" in rejection(tmp_path, '{"activities": []}\n', TARGETS)


@pytest.mark.slow
def test_a_hundred_thousand_lines_are_read_in_seconds(tmp_path: Path) -> None:
    """A file at the limit of lines is read, and its totals are right."""
    rows = "".join(f"S{index},{index % 90 + 1},1.5\n" for index in range(99_990))
    table = read_holdings(read_table_text(write(tmp_path / "large.csv", f"symbol,quantity,price\n{rows}")))
    assert len(table.holdings) == 99_990
    assert sum(row.quantity for row in table.holdings) == sum(index % 90 + 1 for index in range(99_990))


def write(path: Path, content: str) -> Path:
    """Write a file and return its path."""
    path.write_text(content)
    return path


def test_units_in_headers_are_currencies(tmp_path: Path) -> None:
    """A header with a currency has the same meaning as one without, and its prices are in that currency."""
    held = "Symbol,Last Price $,Quantity,Price Paid $,Value $\nAAA,10.00,100,8.00,1000.00\nBBB,20.00,50,9.00,1000.00\n"
    assert trades(tmp_path, held, TARGETS) == {"BBB": "-10"}
    held = "symbol,quantity,price (EUR),currency\nAAA,100,10,USD\nBBB,50,20,EUR\n"
    assert trades(tmp_path, held, TARGETS) == {"BBB": "-10"}
    error = rejection(tmp_path, held + "Cash,500,,\n", TARGETS, prices="symbol,price USD\nAAA,10\nBBB,20\n")
    assert "the prices are in USD" in error


def test_positions_with_a_date_of_purchase_are_holdings(tmp_path: Path) -> None:
    """A list that has what each position cost and what it is worth is no list of transactions."""
    held = "Symbol,Current Price,Date,Time,Trade Date,Purchase Price,Quantity,Commission\n"
    held += "AAA,10,2026/11/20,16:00,20250102,8,100,0\nBBB,20,2026/11/20,16:00,20250102,9,50,0\n"
    assert trades(tmp_path, held, TARGETS) == {"BBB": "-10"}
