"""What a portfolio manager sees and does."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from bson import Decimal128, ObjectId
from playwright.sync_api import Page
from pymongo import MongoClient

from app.pages.content import is_outside, total
from app.pages.rendering import money, percent
from app.solver_task.schemas import DriftDTO
from tests.app.pages.conftest import OTHER_HOST
from tests.harness.api import Api
from tests.harness.bodies import created, path, position
from tests.harness.upstreams import Upstreams, fresh_id

HOSTILE = '<script>document.title="owned"</script> "\'> \u05d0\u05d1'


def funded(api: Api, upstreams: Upstreams, portfolios: int = 3, name: str | None = None) -> Any:
    """Create a model of three securities whose portfolios hold only cash."""
    securities = upstreams.securities(3)
    positions = [position(each) | {"target": 0.3, "highDrift": 0.02, "lowDrift": 0.02} for each in securities]
    ids = [upstreams.portfolio(str(100_000 * (index + 1)), name=f"Fund {index}") for index in range(portfolios)]
    return created(api, positions=positions, portfolios=ids, **({"name": name} if name else {}))


def address(api: Api, where: str) -> str:
    """Return the address of a page."""
    return f"{api.url}{where}"


def test_the_first_page_lists_models_with_their_latest_drift(api: Api, upstreams: Upstreams, page: Page) -> None:
    """A model is shown with its last rebalance and the drift that it left, and leads to its page."""
    made = funded(api, upstreams, name=f"A first model {fresh_id()}")
    page.goto(address(api, "/"))
    row = page.locator("tr", has_text=made["name"])
    assert "never" in row.inner_text()
    api.post(path(made, "/rebalance")).expect(200)
    page.reload()
    assert re.search(r"\d\.\d\d%", row.inner_text())
    row.get_by_role("link", name=made["name"]).click()
    assert page.get_by_role("heading", level=1).inner_text() == made["name"]


def test_a_model_shows_what_a_rebalance_would_do_and_stores_nothing(api: Api, upstreams: Upstreams, page: Page) -> None:
    """The preview shows trades, reasons and the proof; no rebalance exists afterwards."""
    made = funded(api, upstreams)
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    assert page.locator("table.portfolios tbody tr").count() == 3
    assert "BUY" in page.locator("table.trades").inner_text()
    assert page.locator("table.weights svg").count() == 3
    assert "Proven in exact arithmetic" in page.locator(".report").inner_text()
    assert api.post("/rebalances/portfolios", {"portfolios": made["portfolios"]}).expect(200).body == []


def listed_portfolios(page: Page) -> list[str]:
    """Return the ids of the listed portfolios in order; their names may be late on a busy machine."""
    links = page.locator("table.portfolios tbody th a").all()
    return [str(link.get_attribute("href")).split("portfolio=")[1].split("&")[0] for link in links]


def test_portfolios_are_sorted_by_drift_worst_first(api: Api, upstreams: Upstreams, page: Page) -> None:
    """A portfolio far from its model comes before one that is close to it."""
    security = upstreams.securities(1)[0]
    price = upstreams.price(security)
    close = upstreams.portfolio("100000", {security: str(int(100_000 / price))}, name="Close")
    far = upstreams.portfolio("100000", name="Far")
    positions = [position(security) | {"target": 0.5, "highDrift": 0.2, "lowDrift": 0.2}]
    made = created(api, positions=positions, portfolios=[close, far])
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    assert listed_portfolios(page) == [far, close]


def test_an_infeasible_portfolio_comes_first_with_what_would_allow_it(
    api: Api, upstreams: Upstreams, page: Page
) -> None:
    """One portfolio that cannot be rebalanced is listed with its reason, beside those that can."""
    security = upstreams.securities(1)[0]
    poor = upstreams.portfolio(str(upstreams.price(security)), name="Poor")
    rich = upstreams.portfolio("1000000", name="Rich")
    positions = [position(security) | {"target": 0.3, "highDrift": 0.02, "lowDrift": 0.02}]
    made = created(api, positions=positions, portfolios=[rich, poor])
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    assert listed_portfolios(page) == [poor, rich]
    assert "What would allow it: a drift of 0.3" in page.locator(".report").inner_text()


def test_a_report_states_the_rules_in_words(api: Api, upstreams: Upstreams, page: Page) -> None:
    """Also rules that the form does not have, such as the lot size of one security, are shown in words."""
    made = funded(api, upstreams, portfolios=1)
    security = made["positions"][0]["securityId"]
    rules = {"lotSizes": [{"securityId": security, "lotSize": 0.5}], "minimumCash": 10}
    rebalance_id = api.post(path(made, "/rebalance"), {"rules": rules}).expect(200).body[0]["rebalanceId"]
    page.goto(address(api, f"/pages/rebalance/{rebalance_id}"))
    text = page.locator("main").inner_text()
    assert f"Lot sizes: 0.5 of {security}" in text
    assert "Cash reserve: 10" in text


def test_rules_change_the_preview_and_wrong_ones_are_explained(api: Api, upstreams: Upstreams, page: Page) -> None:
    """The form of rules leads to another preview; a rule that is invalid is named."""
    made = funded(api, upstreams)
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    page.get_by_text("Rules", exact=True).click()
    page.get_by_label("Direction").select_option("SELL_ONLY")
    page.get_by_label("Drift bands").select_option("PREFERRED")
    page.get_by_role("button", name="Preview with these rules").click()
    assert "No trades" in page.locator(".report").inner_text()
    assert "sell only" in page.locator("main").inner_text()
    page.goto(address(api, f"/pages/model/{made['modelId']}?feeRate=2"))
    assert "must be" in page.get_by_role("alert").inner_text()


def test_a_rebalance_asks_first_and_its_report_shows_what_is_stored(api: Api, upstreams: Upstreams, page: Page) -> None:
    """After the confirmation the rebalance is stored once, and the report has its trades, its proof and its CSV."""
    made = funded(api, upstreams)
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    page.get_by_role("button", name="Rebalance", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert re.search(r"\d+ orders", dialog.inner_text())
    dialog.get_by_role("button", name="Rebalance now").dblclick()
    page.wait_for_url("**/pages/rebalance/*")
    stored = api.post("/rebalances/portfolios", {"portfolios": made["portfolios"]}).expect(200).body
    assert [each["rebalanceId"] for each in stored] == [page.url.rpartition("/")[2]]
    text = page.locator("main").inner_text()
    assert "BUY" in text
    assert "Proven in exact arithmetic" in text
    with page.expect_download() as download:
        page.get_by_role("link", name="Trades as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")


def test_orders_are_sent_after_a_confirmation_and_never_twice(desk: Api, upstreams: Upstreams, page: Page) -> None:
    """The report sends the orders once; a repeated form sends nothing more."""
    made = funded(desk, upstreams)
    rebalance_id = desk.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    page.goto(address(desk, f"/pages/rebalance/{rebalance_id}"))
    page.get_by_role("button", name="Send orders").click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Send 9 orders")).click()
    page.get_by_text("Created").wait_for()
    httpx.post(address(desk, f"/pages/rebalance/{rebalance_id}/orders"), timeout=60)
    state = desk.get(f"/rebalance/{rebalance_id}/orders").expect(200).body
    assert (state["total"], state["created"], state["duplicates"]) == (9, 9, 0)


def test_a_service_that_sends_no_orders_says_so(api: Api, upstreams: Upstreams, page: Page) -> None:
    """Without ORDERS_ENABLED the report has no button to send orders, and says why."""
    made = funded(api, upstreams, portfolios=1)
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    page.goto(address(api, f"/pages/rebalance/{rebalance_id}"))
    assert "ORDERS_ENABLED" in page.locator(".orders").inner_text()
    assert page.get_by_role("button", name="Send orders").count() == 0


def test_a_hostile_name_is_only_text(api: Api, upstreams: Upstreams, page: Page) -> None:
    """Markup and right-to-left text in names are shown and change nothing."""
    made = funded(api, upstreams, name=f"{HOSTILE} {fresh_id()}")
    page.goto(address(api, f"/pages/model/{made['modelId']}"))
    assert page.get_by_role("heading", level=1).inner_text() == made["name"]
    assert page.title() != "owned"


@pytest.mark.parametrize("where", ["/pages/model/{}", "/pages/rebalance/{}"])
@pytest.mark.parametrize("identifier", ["0" * 24, "nothing"])
def test_an_unknown_id_is_a_page_that_says_so(api: Api, where: str, identifier: str) -> None:
    """An id that does not exist, or cannot exist, returns a 404 page."""
    response = httpx.get(address(api, where.format(identifier)), timeout=60)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")
    assert "All models" in response.text


def test_pages_load_nothing_from_elsewhere_and_run_no_inline_script(api: Api, upstreams: Upstreams, page: Page) -> None:
    """The policy forbids inline scripts and styles, and every request goes to the service."""
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    made = funded(api, upstreams, portfolios=1)
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    for where in ("/", f"/pages/model/{made['modelId']}", f"/pages/rebalance/{rebalance_id}"):
        response = page.goto(address(api, where))
        assert response is not None
        assert "unsafe" not in response.headers["content-security-policy"]
        assert "script-src 'self'" in response.headers["content-security-policy"]
    assert requests
    assert [url for url in requests if not url.startswith(api.url)] == []


def test_links_keep_the_prefix_of_a_gateway(api: Api, upstreams: Upstreams) -> None:
    """Behind a gateway that publishes the service below a path, every link has that path."""
    made = funded(api, upstreams, portfolios=1)
    page = httpx.get(
        address(api, f"/pages/model/{made['modelId']}"), headers={"X-Forwarded-Prefix": "/order-gen"}, timeout=60
    ).text
    links = re.findall(r'\s(?:href|src|action)="([^"#?]+)', page)
    assert links
    assert [link for link in links if not link.startswith("/order-gen/")] == []
    hostile = httpx.get(address(api, "/"), headers={"X-Forwarded-Prefix": '"><script>'}, timeout=60).text
    assert "<script>" not in hostile


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_are_accessible_and_fit_a_phone(
    standard: Api, upstreams: Upstreams, page: Page, scheme: str, pictures: Path
) -> None:
    """Axe finds nothing serious in either colour scheme, and at 390 pixels nothing makes the page scroll sideways."""
    made = funded(standard, upstreams)
    rebalance_id = standard.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    places = {"models": "/", "model": f"/pages/model/{made['modelId']}", "report": f"/pages/rebalance/{rebalance_id}"}
    for name, where in places.items():
        page.set_viewport_size({"width": 1200, "height": 900})
        page.goto(address(standard, where))
        results = Axe().run(page)
        found = [each["id"] for each in results.response["violations"] if each["impact"] in {"serious", "critical"}]
        assert found == [], name
        page.screenshot(path=pictures / f"{name}-{scheme}.png")
        page.set_viewport_size({"width": 390, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name


def test_the_keyboard_reaches_the_rebalance_and_its_confirmation(
    standard: Api, upstreams: Upstreams, page: Page
) -> None:
    """Without a mouse, the button opens the confirmation and Escape closes it."""
    made = funded(standard, upstreams, portfolios=1)
    page.goto(address(standard, f"/pages/model/{made['modelId']}"))
    page.get_by_role("button", name="Rebalance", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_trades_are_copied_as_one_table_also_without_https(standard: Api, upstreams: Upstreams, page: Page) -> None:
    """Over HTTP, where browsers have no clipboard for scripts, the trades of all portfolios are copied with names."""
    made = funded(standard, upstreams, portfolios=2)
    rebalance_id = standard.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    page.goto(address(standard, f"/pages/rebalance/{rebalance_id}").replace("127.0.0.1", OTHER_HOST))
    assert not page.evaluate("isSecureContext")
    page.get_by_role("button", name="Copy trades").click()
    page.get_by_role("button", name="Copied").wait_for()
    page.evaluate("document.body.append(Object.assign(document.createElement('textarea'), {id: 'pasted'}))")
    page.locator("#pasted").focus()
    page.keyboard.press("Control+V")
    header, *rows = [line.split("\t") for line in page.locator("#pasted").input_value().splitlines()]
    assert header[:3] == ["Portfolio", "Trade", "Security"]
    assert {(row[0], row[1]) for row in rows} == {("Fund 0", "BUY"), ("Fund 1", "BUY")}
    assert len(rows) == 6


def test_a_page_behind_the_last_one_is_the_last_one(api: Api, upstreams: Upstreams) -> None:
    """A number of a page that no longer exists never shows an empty list as if there were nothing."""
    made = funded(api, upstreams, portfolios=1)
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    assert "There are no models" not in httpx.get(address(api, "/?page=999999"), timeout=60).text
    for where in (f"/pages/model/{made['modelId']}", f"/pages/rebalance/{rebalance_id}"):
        assert "Fund 0" in httpx.get(address(api, f"{where}?page=999"), timeout=60).text


def test_only_a_form_is_accepted_as_a_form(api: Api, upstreams: Upstreams) -> None:
    """A body of another type, whose rules would be ignored, is rejected and nothing is rebalanced."""
    made = funded(api, upstreams, portfolios=1)
    where = address(api, f"/pages/model/{made['modelId']}/rebalance")
    for arguments in (
        {"json": {"direction": "SELL_ONLY"}},
        {"content": b"x", "headers": {"Content-Type": "text/plain"}},
    ):
        response = httpx.post(where, timeout=60, **arguments)
        assert response.status_code == 415
        assert "must be a form" in response.text
    assert api.post("/rebalances/portfolios", {"portfolios": made["portfolios"]}).expect(200).body == []


def test_the_address_of_a_form_leads_to_its_page(api: Api) -> None:
    """After an error, reloading the address that the browser shows leads back to the page of the form."""
    identifier = "0" * 24
    for where, form in (("model", "rebalance"), ("rebalance", "orders")):
        response = httpx.get(
            address(api, f"/pages/{where}/{identifier}/{form}"), headers={"X-Forwarded-Prefix": "/order-gen"}
        )
        assert (response.status_code, response.headers["Location"]) == (303, f"/order-gen/pages/{where}/{identifier}")
        assert httpx.get(address(api, f"/pages/{where}/%0d%0aX/{form}")).status_code == 404


def test_the_report_names_portfolios_that_cannot_be_read(
    api: Api, upstreams: Upstreams, mongodb_url: str, shared_database_name: str
) -> None:
    """One portfolio that is not in this service's format is counted, and the report shows the others."""
    made = funded(api, upstreams, portfolios=3)
    rebalance_id = api.post(path(made, "/rebalance")).expect(200).body[0]["rebalanceId"]
    where = address(api, f"/pages/rebalance/{rebalance_id}")
    assert "cannot be read" not in httpx.get(where, timeout=60).text
    of_portfolio = {"_id": {"rebalanceId": ObjectId(rebalance_id), "place": 1}}
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        stored = client[shared_database_name]["rebalances"]
        whole = stored.find_one(of_portfolio)
        assert whole is not None
        # The list of portfolios shows the first of these faults, the portfolio itself also the second.
        for fault in ({"marketValue": Decimal128("NaN")}, {"positions": "none"}):
            assert stored.update_one(of_portfolio, {"$set": fault}).matched_count == 1
            response = httpx.get(where, timeout=60)
            assert response.status_code == 200
            assert "1 portfolio of this rebalance cannot be read" in response.text
            assert "Fund 0" in response.text
            assert "Fund 2" in response.text
            stored.replace_one(of_portfolio, whole)


def test_figures_of_any_size_are_exact() -> None:
    """Sums, money and percentages beyond 28 digits are neither rounded nor an error."""
    assert percent(Decimal("1234567890123456789012345678.123456")) == "123456789012345678901234567812.35%"
    assert total([Decimal("1E+30"), Decimal("0.01")]) == Decimal("1000000000000000000000000000000.01")
    assert money(Decimal("1234567890123456789012345678901.234")).endswith("678,901.234")


def test_the_page_of_a_model_has_one_content_type(api: Api, upstreams: Upstreams) -> None:
    """The streamed page names its character set once, as the other pages do."""
    made = funded(api, upstreams, portfolios=1)
    response = httpx.get(address(api, f"/pages/model/{made['modelId']}"), timeout=60)
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(("quantity", "outside"), [("0.5", False), ("1", True), ("-2", True)])
def test_less_than_a_share_without_a_target_is_not_outside_its_band(quantity: str, outside: bool) -> None:
    """No trade of whole shares could sell it."""
    drift = msgspec.convert(
        dict.fromkeys(DriftDTO.__struct_encode_fields__, "0")
        | {"securityId": "S" * 24, "originalQuantity": quantity, "originalActual": "0.01", "restraint": None},
        DriftDTO,
        strict=False,
    )
    assert is_outside(drift) is outside
