"""The image runs without any right that it does not need, and does its work so."""

import json

import httpx
import pytest

from tests.deployment.image.conftest import Machine
from tests.deployment.image.engine import Container
from tests.deployment.image.work import TIMEOUT_SECONDS, create_model, rebalance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def test_it_is_healthy_by_its_own_check(machine: Machine, service: Container, simulator: Container) -> None:
    """The check knows what a container runs: a service or a simulator."""
    (found,) = json.loads(machine.engine("image", "inspect", machine.image))
    check = found.get("HealthCheck", found.get("Healthcheck", found["Config"].get("Healthcheck")))["Test"][1:]
    for container in (service, simulator):
        assert machine.engine.start("exec", container.name, *check).returncode == 0, container.name


def test_it_has_no_rights(service: Container) -> None:
    """It is not root, has no capability and cannot get any."""
    status = dict(line.split(":\t", 1) for line in service.python("print(open('/proc/1/status').read())").splitlines())
    assert status["Uid"].split() == ["10001"] * 4
    assert {int(status[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")} == {0}
    assert status["NoNewPrivs"] == "1"


def test_only_tmp_is_writable(service: Container) -> None:
    """Everything else is read-only, the installed service included."""
    paths = ("/", "/opt/order-generation", "/usr", "/var", "/tmp")
    assert service.python(f"import os; print([path for path in {paths} if os.access(path, os.W_OK)])") == "['/tmp']"


def test_it_has_no_installer(service: Container) -> None:
    """Nothing in the image can install packages."""
    program = "import importlib.util as u; print([m for m in ('pip', 'ensurepip', 'uv') if u.find_spec(m)])"
    assert service.python(program) == "[]"


@pytest.mark.parametrize(("portfolios", "positions"), [(100, 50), (1000, 50)])
def test_it_rebalances_within_its_limits(service: Container, portfolios: int, positions: int) -> None:
    """With one processor and 640 MiB, every portfolio is rebalanced and stored."""
    model_id = create_model(service.url, portfolios, positions)
    assert rebalance(service.url, model_id) == {"COMPLETED": portfolios}
    (stored, *_) = httpx.get(f"{service.url}/api/v1/rebalances", params={"limit": "1"}, timeout=60).json()
    assert (stored["modelId"], stored["numberOfPortfolios"]) == (model_id, portfolios)
    assert not service.engine.inspect(service.name)["State"]["OOMKilled"]


def test_a_response_that_has_no_room_is_rejected_and_leaves_nothing(service: Container) -> None:
    """Of 1,300 portfolios, it is above 20 MiB, and /tmp has 16: 503 with Retry-After, and nothing is stored."""
    model_id = create_model(service.url, 1300, 50)
    response = httpx.post(f"{service.url}/api/v1/model/{model_id}/rebalance", timeout=TIMEOUT_SECONDS)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "OVERLOADED"), response.text
    assert int(response.headers["Retry-After"]) > 0
    (stored, *_) = httpx.get(f"{service.url}/api/v1/rebalances", params={"limit": "1"}, timeout=60).json()
    assert stored["modelId"] != model_id
    assert rebalance(service.url, create_model(service.url, 100, 50)) == {"COMPLETED": 100}


def test_a_second_build_has_the_same_layers(machine: Machine) -> None:
    """Without a cache, packages and service come out the same, so that a release is a pull of what changed."""
    if machine.again is None:
        pytest.skip("the image was built elsewhere, or by an engine that dates directories")
    assert machine.engine.layers(machine.image)[-2:] == machine.engine.layers(machine.again)[-2:]
