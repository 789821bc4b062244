"""The pods of every overlay run: `podman kube play` of what `kubectl kustomize` makes, without a cluster."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from persistence.embedded import free_port
from tests.deployment.image.conftest import Machine, connected
from tests.deployment.image.engine import Container, until
from tests.deployment.image.playing import deployments, document
from tests.deployment.image.work import WORLD, create_model, rebalance
from tests.deployment.manifests import DATABASE, Manifest, build, pod_of, service_container, workloads

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIMULATOR = "globeco-simulator"


@pytest.fixture(autouse=True)
def podman(machine: Machine) -> None:
    """Only podman plays manifests."""
    if machine.engine.name != "podman":
        pytest.skip(f"{machine.engine.name} does not play manifests")


@contextmanager
def played(machine: Machine, network: str, overlay: str, workload: Manifest, **settings: str) -> Iterator[Container]:
    """Run one workload of an overlay, known in the network by its name, until the block ends."""
    name = workload["metadata"]["name"]
    (container,) = pod_of(workload)["containers"]
    images = {
        _image(each): machine.mongo if "mongo:" in _image(each) else machine.image for each in workloads(build(overlay))
    }
    text = document(workload, overlay, images, settings)
    port, inside = free_port(), container["ports"][0]["containerPort"]
    options = ("--network", f"{network}:alias={name}", "--publish", f"127.0.0.1:{port}:{inside}")
    machine.engine("kube", "play", "--replace", *options, "-", text=text)
    try:
        yield Container(machine.engine, f"{name}-pod-{container['name']}", f"http://127.0.0.1:{port}")
    finally:
        machine.engine("kube", "down", "--force", "-", text=text)


@pytest.mark.parametrize("overlay", ["dev", "globeco"])
def test_an_overlay_with_its_own_database_rebalances(
    overlay: str, machine: Machine, network: str, simulator: Container
) -> None:
    """Service, MongoDB and, in `dev`, the simulator, as their manifests configure and confine them."""
    by_name = {each["metadata"]["name"]: each for each in deployments(overlay)}
    database = by_name.pop(DATABASE)
    upstreams = by_name.pop(SIMULATOR, None)
    (service,) = by_name.values()
    settings = connected(SIMULATOR if upstreams else simulator.name, DATABASE)
    with played(machine, network, overlay, database, **settings):
        if upstreams is None:
            with played(machine, network, overlay, service, **settings) as running:
                check(running, overlay)
        else:
            with (
                played(machine, network, overlay, upstreams, **settings),
                played(machine, network, overlay, service, **settings) as running,
            ):
                check(running, overlay)


def test_production_takes_its_database_from_the_secret(
    machine: Machine, network: str, simulator: Container, mongodb: Container
) -> None:
    """With four solver processes, on the database that the Secret names."""
    (service,) = deployments("production")
    with played(machine, network, "production", service, **settings_of(simulator, mongodb)) as running:
        check(running, "production")


def test_the_optimizer_needs_no_database(machine: Machine, network: str) -> None:
    """It responds to a request that contains everything."""
    (service,) = deployments("optimizer")
    with played(machine, network, "optimizer", service, MONGODB_URL="none") as running:
        until(running.ready, 60, running.logs)
        body = {
            "positions": [{"securityId": "A", "target": "0.5", "highDrift": "0.1", "lowDrift": "0.1"}],
            "prices": [{"securityId": "A", "price": "10"}],
            "portfolios": [{"portfolioId": "P", "cash": "1000", "holdings": []}],
        }
        response = httpx.post(f"{running.url}/api/v1/optimizations", json=body, timeout=60)
        assert response.status_code == 200, response.text
        (portfolio,) = response.json()
        assert [(each["transactionType"], each["quantity"]) for each in portfolio["transactions"]] == [("BUY", 50)]
        figures = httpx.get(f"{running.url}/metrics", timeout=60).text
        assert 'order_generation_up{part="solvers"} 1' in figures
        assert 'order_generation_up{part="database"}' not in figures


def settings_of(simulator: Container, mongodb: Container) -> Mapping[str, str]:
    """Return where upstreams and database are, without a number of solver processes."""
    return {
        name: value for name, value in connected(simulator.name, mongodb.name).items() if name != "SOLVER_PROCESSES"
    }


def check(service: Container, overlay: str) -> None:
    """Rebalance through the dialect of the overlay, confined as its manifest says."""
    until(service.ready, 120, service.logs)
    assert (
        service.python("import os; print(os.getuid(), os.access('/', os.W_OK), os.access('/tmp', os.W_OK))")
        == "10001 False True"
    )
    limit = service_container(build(overlay))["resources"]["limits"]["memory"]
    assert service.engine.inspect(service.name)["HostConfig"]["Memory"] == mebibytes(limit) * 2**20
    if overlay == "globeco":
        model = {
            "name": "played",
            "portfolios": WORLD.portfolio_ids(0, 3),
            "positions": [
                {"security_id": each, "target": 0.095, "high_drift": 0.02, "low_drift": 0.02}
                for each in WORLD.priced_security_ids()[:10]
            ],
        }
        created = httpx.post(f"{service.url}/api/v1/models", json=model, timeout=60).raise_for_status().json()
        done = httpx.post(f"{service.url}/api/v1/model/{created['model_id']}/rebalance", timeout=60)
        assert [each["status"] for each in done.raise_for_status().json()] == ["COMPLETED"] * 3
    else:
        assert rebalance(service.url, create_model(service.url, 3, 10)) == {"COMPLETED": 3}


def mebibytes(amount: str) -> int:
    """Return a quantity in Mi or Gi as a number of MiB."""
    return int(amount[:-2]) * {"Mi": 1, "Gi": 1024}[amount[-2:]]


def _image(workload: Manifest) -> str:
    (container,) = pod_of(workload)["containers"]
    return str(container["image"])
