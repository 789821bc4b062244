"""The image's file system and a container of it, as near as a machine without a container engine comes."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.commands.stack import running_simulator_process
from persistence.embedded import free_port
from tests.deployment.confined_service import ConfinedService, running_confined_service
from tests.deployment.confinement import make_read_only, remove_read_only
from tests.deployment.imported_packages import reporting_imports
from tests.deployment.installation import Installation, install

ROOM_BYTES = 1_500_000_000


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    """What the Containerfile installs; not below /tmp, the one directory that stays writable."""
    if sys.platform != "linux":
        pytest.skip("the image is for Linux")
    # Half a gigabyte in ten thousand files: in memory that is a second or two, on a slow disk half a minute.
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and shutil.disk_usage(memory).free > ROOM_BYTES
    root = Path(tempfile.mkdtemp(prefix="order-generation-image-", dir=memory if roomy else "/var/tmp"))
    root.chmod(0o755)
    try:
        installed = install(root)
        make_read_only(root)
        yield installed
    finally:
        remove_read_only(root)


@pytest.fixture(scope="module")
def service(
    installation: Installation, mongodb_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ConfinedService]:
    """The installed service, confined, on the real MongoDB and the simulator of its upstreams."""
    log = tmp_path_factory.mktemp("service") / "log"
    with running_simulator_process() as simulator, reporting_imports() as reporting:
        settings = {
            "PORT": str(free_port()),
            "MONGODB_URL": mongodb_url,
            "DATABASE_NAME": "test_deployment",
            "PORTFOLIO_ACCOUNTING_SERVICE_URL": simulator.portfolio_accounting,
            "PRICING_SERVICE_URL": simulator.pricing,
            "PORTFOLIO_SERVICE_URL": simulator.portfolio,
            "SECURITY_SERVICE_URL": simulator.security,
            "ORDER_SERVICE_URL": simulator.order,
            "SOLVER_PROCESSES": "1",
            # A collector that does not respond costs nothing here, and has the exporter imported.
            "OTEL_COLLECTOR_GRPC_ENDPOINT": f"127.0.0.1:{free_port()}",
            **reporting,
        }
        with running_confined_service(installation, settings, log) as running:
            yield running
