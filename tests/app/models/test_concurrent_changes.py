"""Many callers at once: one version is changed once, and no call to a part of a model is lost."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import httpx

from tests.harness.api import Api
from tests.harness.bodies import content, created, path, position

CALLERS = 50


def at_once(api: Api, method: str, route: str, bodies: list[object]) -> list[httpx.Response]:
    """Send the bodies from as many callers, all at the same moment."""
    ready = Barrier(len(bodies))

    def send(body: object) -> httpx.Response:
        # Without certificates, which take longer to load than all else here.
        with httpx.Client(base_url=f"{api.url}/api/v1", timeout=30, verify=False) as client:
            ready.wait()
            return client.request(method, route, json=body)

    with ThreadPoolExecutor(len(bodies)) as callers:
        return list(callers.map(send, bodies))


def test_of_fifty_writers_of_one_version_one_succeeds(standard: Api) -> None:
    """The others get VERSION_CONFLICT, and the model and its history show only the winner's change."""
    before = created(standard)
    names = [f"{before['name']} {number}" for number in range(CALLERS)]
    responses = at_once(standard, "PUT", path(before), [content(before, name=name) for name in names])
    assert sorted(each.status_code for each in responses) == [200] + [409] * (CALLERS - 1)
    assert {each.json()["error"]["code"] for each in responses if each.status_code == 409} == {"VERSION_CONFLICT"}
    (winner,) = [each.json() for each in responses if each.status_code == 200]
    assert standard.get(path(before)).body == winner
    assert len(standard.get(path(before, "/history"), limit=100).body) == 2


def test_fifty_positions_added_at_once_are_all_there(standard: Api) -> None:
    """Position changes need no version, so all succeed, each as a version and an audit entry of its own."""
    before = created(standard)
    responses = at_once(standard, "POST", path(before, "/position"), [position(target="0.005") for _ in range(CALLERS)])
    assert [each.status_code for each in responses] == [200] * CALLERS
    after = standard.get(path(before)).body
    assert len(after["positions"]) == CALLERS
    assert after["version"] == CALLERS + 1
    trail = standard.get(path(before, "/history"), limit=100).body
    assert [entry["version"] for entry in trail] == list(range(CALLERS + 1, 0, -1))


def test_of_fifty_models_with_one_name_one_is_created(standard: Api) -> None:
    """All others get 409, however close together the requests arrive."""
    name = created(standard)["name"] + " again"
    body = {"name": name, "positions": [], "portfolios": []}
    responses = at_once(standard, "POST", "/models", [body] * CALLERS)
    assert sorted(each.status_code for each in responses) == [201] + [409] * (CALLERS - 1)
