"""Lists count their elements and link their pages."""

import re

import pytest

from tests.harness.api import Api, ApiResponse
from tests.harness.bodies import content, created, path
from tests.harness.upstreams import Upstreams, fresh_id

LINK = re.compile(r'<([^>]+)>; rel="(next|prev)"')


def links(response: ApiResponse) -> dict[str, str]:
    """The links of a list, by relation."""
    return {relation: target for target, relation in LINK.findall(response.headers.get("Link", ""))}


def test_lists_count_their_elements_and_link_their_pages(api: Api) -> None:
    """Following `next` from the first page meets every element once, as counted, and `prev` leads back."""
    made = created(api, name=f"Zz {fresh_id()}")
    for _ in range(4):
        made = api.put(path(made), content(made)).expect(200).body
    history = f"/api/v1{path(made, '/history')}"
    whole = api.raw("GET", f"{history}?limit=100").expect(200)
    assert (whole.headers["X-Total-Count"], links(whole)) == ("5", {})
    seen, target = [], f"{history}?limit=2"
    pages = []
    while target:
        page = api.raw("GET", target).expect(200)
        assert page.headers["X-Total-Count"] == "5"
        seen += page.body
        pages.append(page)
        target = links(page).get("next", "")
    assert seen == whole.body
    assert [len(page.body) for page in pages] == [2, 2, 1]
    assert "prev" not in links(pages[0])
    assert api.raw("GET", links(pages[2])["prev"]).body == pages[1].body


@pytest.mark.parametrize("query", ["", "limit=1", "limit=1&offset=1&sort_by=-name", "limit=0", "offset=1000000"])
def test_models_are_counted_on_every_page(api: Api, query: str) -> None:
    """The count is that of all models, whatever part of them is listed, and links keep the sort order."""
    for _ in range(3):
        created(api)
    count = int(api.raw("HEAD", f"/api/v1/models?{query}").headers["X-Total-Count"])
    assert count >= 3
    page = api.raw("GET", f"/api/v1/models?{query}").expect(200)
    if "limit=1" in query:
        assert "limit=1" in links(page)["next"]
        assert ("sort_by=-name" in links(page)["next"]) == ("sort_by" in query)
    else:
        assert "next" not in links(page)


def test_rebalances_are_counted(api: Api, upstreams: Upstreams) -> None:
    """Lists of rebalances, also of those with certain portfolios, have their count and links."""
    portfolio = upstreams.portfolio()
    made = created(api, portfolios=[portfolio])
    for _ in range(3):
        api.post(path(made, "/rebalance")).expect(200)
    listed = api.get("/rebalances", limit=1).expect(200)
    assert int(listed.headers["X-Total-Count"]) >= 3
    assert "next" in links(listed)
    found = api.post("/rebalances/portfolios", {"portfolios": [portfolio]}, limit=2).expect(200)
    assert found.headers["X-Total-Count"] == "3"
    assert set(links(found)) == {"next"}
