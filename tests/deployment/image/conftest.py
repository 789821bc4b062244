"""An engine, the image built from the Containerfile, and the service in containers, confined as the manifests do it."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec import Struct

from persistence.embedded import free_port
from tests.deployment.containerfile import REPOSITORY
from tests.deployment.image.debian import MONGO, PYTHON, UV, DebianEngine
from tests.deployment.image.engine import Container, Engine, EngineError, installed_engine, run_container

IMAGE = "kasbench/globeco-order-generation-service:image-test"
AGAIN = "kasbench/globeco-order-generation-service:image-test-again"
NETWORK = "image-test"
UPSTREAMS = ("PORTFOLIO_ACCOUNTING", "PRICING", "PORTFOLIO", "SECURITY", "ORDER")
FIRST_PORT = 9000
PODMAN_BUILD = ("--format", "docker", "--layers", "--timestamp", "0")
"""With the health check, which only this format has, in layers, and without the time of the build."""
CONFINED = (
    *("--read-only", "--tmpfs", "/tmp:size=16m", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    *("--cpus", "1", "--memory", "640m", "--memory-swap", "640m"),
)


class Machine(Struct, frozen=True):
    """An engine and the images that the tests run.

    Attributes:
        again: the image built once more without a cache; None if the engine cannot repeat a build exactly.
    """

    engine: Engine
    image: str
    mongo: str
    again: str | None


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The engine of this machine, or one in a Debian that is made for it, with the image."""
    given = os.environ.get("TEST_IMAGE")
    if installed := installed_engine():
        options: tuple[str, ...] = PODMAN_BUILD if installed.name == "podman" else ()
        image = given or _build(installed, IMAGE, str(REPOSITORY), *options)
        # docker gives directories the time of the build, unless it exports the image elsewhere.
        repeatable = installed.name == "podman" and not given
        again = _build(installed, AGAIN, str(REPOSITORY), *options, "--no-cache") if repeatable else None
        yield Machine(installed, image, "docker.io/library/mongo:8.0", again)
        return
    debian = DebianEngine(Path(os.environ.get("IMAGE_WORK") or REPOSITORY / ".tools/image"))
    try:
        debian.prepare()
    except EngineError as error:
        pytest.skip(str(error))
    if given:
        with debian.running(network_of_its_own=True) as engine:
            yield Machine(engine, given, MONGO, None)
        return
    with debian.running(network_of_its_own=False) as engine:
        debian.make_images(engine)
        stand_ins = ("--build-arg", f"PYTHON_IMAGE={PYTHON}", "--build-arg", f"UV_IMAGE={UV}")
        options = (*debian.build_options(), *PODMAN_BUILD, *stand_ins, "--volume", "/root/uv.toml:/etc/uv/uv.toml:ro")
        context = debian.copy_context()
        _build(engine, IMAGE, context, *options)
        _build(engine, AGAIN, context, *options, "--no-cache")
    with debian.running(network_of_its_own=True) as engine:
        yield Machine(engine, IMAGE, MONGO, AGAIN)


def _build(engine: Engine, image: str, context: str, *options: str) -> str:
    arguments = {"VERSION": "0.0.0", "REVISION": "image-test", "CREATED": "1970-01-01T00:00:00Z"}
    stated = [option for name, value in arguments.items() for option in ("--build-arg", f"{name}={value}")]
    engine("build", *options, *stated, "--file", f"{context}/Containerfile", "--tag", image, context)
    return image


@pytest.fixture(scope="session")
def network(machine: Machine) -> Iterator[str]:
    """A network in which containers know each other by name."""
    engine = machine.engine
    engine("network", "rm", "--force", NETWORK, check=False)
    engine("network", "create", NETWORK)
    yield NETWORK
    for name in engine("ps", "--all", "--format", "{{.Names}}").split():
        if name.startswith("test-"):
            engine("rm", "--force", "--volumes", name)
    engine("network", "rm", "--force", NETWORK, check=False)


@pytest.fixture(scope="session")
def mongodb(machine: Machine, network: str) -> Container:
    """A MongoDB, started as the manifests start it."""
    command = ("mongod", "--bind_ip_all", "--nounixsocket", "--dbpath=/data/db", "--wiredTigerCacheSizeGB=0.25")
    return run_container(machine.engine, machine.mongo, *command, name="test-mongodb", network=network)


@pytest.fixture(scope="session")
def simulator(machine: Machine, network: str) -> Container:
    """The five upstream services."""
    command = ("simulator", "--host", "0.0.0.0", "--first-port", str(FIRST_PORT))
    options = ("--read-only", "--cap-drop", "ALL")
    return run_container(
        machine.engine, machine.image, *command, name="test-simulator", network=network, options=options
    )


def connected(simulator: str = "test-simulator", mongodb: str = "test-mongodb") -> dict[str, str]:
    """Return the settings that connect a service to its database and upstreams."""
    urls = {f"{name}_SERVICE_URL": f"http://{simulator}:{FIRST_PORT + place}" for place, name in enumerate(UPSTREAMS)}
    return {**urls, "MONGODB_URL": f"mongodb://{mongodb}:27017", "SOLVER_PROCESSES": "1"}


type StartService = Callable[..., Container]


@pytest.fixture(scope="session")
def start_service(machine: Machine, network: str, mongodb: Container, simulator: Container) -> StartService:
    """Start a service, confined and connected, and wait until it is ready."""

    def start(name: str, **settings: str) -> Container:
        environment = connected(simulator.name, mongodb.name) | settings
        service = run_container(
            machine.engine,
            machine.image,
            name=name,
            network=network,
            port=free_port(),
            environment=environment,
            options=CONFINED,
        )
        service.await_ready()
        return service

    return start


@pytest.fixture(scope="module")
def service(start_service: StartService) -> Iterator[Container]:
    """One service, for the tests of a module that leave it as it was."""
    with ExitStack() as stack:
        running = start_service("test-service")
        stack.callback(running.stop, 10)
        yield running
