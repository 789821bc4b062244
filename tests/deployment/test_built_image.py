"""The image itself, where there is a container engine: healthy, confined and at work on MongoDB 8.0.

TEST_IMAGE=kasbench/globeco-order-generation-service:TAG ./run test -m slow tests/deployment/test_built_image.py
"""

import os
from collections.abc import Iterator

import pytest
from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.wait_strategies import HealthcheckWaitStrategy, LogMessageWaitStrategy

from app.settings import Settings
from tests.deployment.rebalance import check_rebalance

pytestmark = pytest.mark.slow

SIMULATOR_PORTS = {"portfolio_accounting": 9000, "pricing": 9001, "portfolio": 9002, "security": 9003, "order": 9004}


@pytest.fixture(scope="module")
def image() -> str:
    """The image to test."""
    if "TEST_IMAGE" not in os.environ:
        pytest.skip("TEST_IMAGE names no image to test")
    return os.environ["TEST_IMAGE"]


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[DockerContainer]:
    """The service, confined as the manifests confine it, healthy by its own health check."""
    with Network() as network:
        mongodb = DockerContainer("mongo:8.0", network=network, network_aliases=["mongodb"])
        mongodb.waiting_for(LogMessageWaitStrategy("Waiting for connections"))
        simulator = DockerContainer(image, network=network, network_aliases=["simulator"])
        simulator.with_command("simulator --host 0.0.0.0 --first-port 9000")
        simulator.waiting_for(LogMessageWaitStrategy("http://"))
        service = DockerContainer(image, network=network, ports=[Settings().port])
        service.with_envs(MONGODB_URL="mongodb://mongodb:27017", SOLVER_PROCESSES="1")
        for name, port in SIMULATOR_PORTS.items():
            service.with_env(f"{name.upper()}_SERVICE_URL", f"http://simulator:{port}")
        service.with_tmpfs_mount("/tmp", "size=16m")
        service.with_kwargs(read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"])
        service.waiting_for(HealthcheckWaitStrategy())
        with mongodb, simulator, service:
            yield service


def test_it_rebalances(container: DockerContainer) -> None:
    check_rebalance(f"http://{container.get_container_host_ip()}:{container.get_exposed_port(Settings().port)}")


def test_it_is_not_root(container: DockerContainer) -> None:
    assert container.exec(["id", "-u"]).output.decode().strip() == "10001"


def test_it_has_no_installer(container: DockerContainer) -> None:
    for module in ("pip", "ensurepip", "setuptools"):
        assert container.exec(["/usr/local/bin/python3.13", "-m", module]).exit_code != 0


def test_it_ends_in_order_when_it_is_stopped(container: DockerContainer) -> None:
    """The last of these tests: an exit code of 137 would be the kill after a SIGTERM that nothing heard."""
    wrapped = container.get_wrapped_container()
    wrapped.stop(timeout=60)
    assert wrapped.wait()["StatusCode"] == 0
