"""The installed service does its work as a container would run it: not as root and without writing anywhere."""

import platform
import re
import signal
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from persistence.embedded import free_port
from tests.deployment.confined_service import ConfinedService, running_confined_service
from tests.deployment.confinement import expected_user, read_only_file_system
from tests.deployment.imported_packages import imported_modules, imported_packages, reporting_imports
from tests.deployment.installation import Installation
from tests.deployment.locked_packages import production_packages
from tests.deployment.manifests import build, find, of_kind
from tests.deployment.rebalance import check_rebalance


def test_it_is_alive_and_ready(service: ConfinedService) -> None:
    """The confined service reports database and solvers as UP."""
    assert httpx.get(f"{service.url}/health/live", timeout=60).status_code == 200
    ready = httpx.get(f"{service.url}/health/ready", timeout=60)
    assert (ready.status_code, ready.json()["database"], ready.json()["solvers"]) == (200, "UP", "UP")


def test_the_health_check_passes_where_the_service_responds(service: ConfinedService) -> None:
    """The image's own command exits with 0."""
    assert service.health_check() == 0


def test_the_health_check_fails_where_nothing_responds(service: ConfinedService) -> None:
    """The image's own command exits with 1."""
    assert service.health_check(PORT="1") == 1


def test_it_rebalances(service: ConfinedService) -> None:
    """A model is created and rebalanced with a read-only root and without privileges."""
    check_rebalance(service.url)


def test_prometheus_finds_the_metric_that_keda_scales_on(service: ConfinedService) -> None:
    """The metric of the trigger is on the annotated path."""
    manifests = build("keda")
    (scaled_object,) = of_kind(manifests, "ScaledObject")
    metric = re.search(r"order_generation_\w+", scaled_object["spec"]["triggers"][0]["metadata"]["query"])
    path = find(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]
    assert metric is not None
    assert re.search(rf"^{metric[0]} ", httpx.get(f"{service.url}{path}", timeout=60).text, re.MULTILINE)


def test_no_process_of_it_is_root_or_may_become_root(service: ConfinedService) -> None:
    """Server, worker, fork server and solvers have the image's user and cannot gain privileges."""
    processes = service.processes()
    assert len(processes) >= 4, "the server, its worker, the fork server and a solver process"
    for process in processes:
        assert set(process.uids()) == {expected_user()}
        assert "NoNewPrivs:\t1" in Path(f"/proc/{process.pid}/status").read_text()


def test_it_runs_on_a_read_only_file_system(service: ConfinedService) -> None:
    """Of the directories that hold files, only /tmp may be written to."""
    if not read_only_file_system():
        pytest.skip("this machine allows no mount namespaces: only the installed tree was read-only")
    mounts = [line.split() for line in Path(f"/proc/{service.process.pid}/mounts").read_text().splitlines()]
    options = {target: set(flags.split(",")) for _, target, _, flags, *_ in mounts}
    assert "ro" in options["/"] & options["/dev/shm"]
    writable = {target for target, flags in options.items() if "rw" in flags}
    assert {target for target in writable if not target.startswith(("/proc", "/sys", "/dev"))} == {"/tmp"}


def test_it_ends_on_sigterm_and_leaves_no_process(
    service: ConfinedService, installation: Installation, tmp_path: Path
) -> None:
    """The exit code is 0 within the grace period."""
    settings = {**service.environment, "PORT": str(free_port()), "OTEL_SDK_DISABLED": "true"}
    with running_confined_service(installation, settings, tmp_path / "log") as ended:
        processes = ended.processes()
        ended.process.send_signal(signal.SIGTERM)
        assert ended.process.wait(60) == 0
        assert psutil.wait_procs(processes, timeout=30)[1] == []


BY_OTHER_SETTINGS = """
import dns.resolver
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
OTLPSpanExporter()
"""
"""What the service imports for a database at `mongodb+srv://` and for a collector that is reached by HTTP."""

NEVER_IMPORTED = {
    "tzdata": "has data alone: the time zones of TRADE_DATE_TIMEZONE",
    **dict.fromkeys(("h11", "httpcore", "httpx"), "required by litestar, for its test client"),
    **dict.fromkeys(("litestar-htmx", "rich-click"), "required by litestar, for a plugin and its command line"),
    **dict.fromkeys(("markdown-it-py", "mdurl"), "required by rich, for text in Markdown"),
    "sparsediffpy": "required by cvxpy, for problems that are not linear",
}
"""A new package is either imported by the service, or has a reason here."""


def test_every_package_of_the_image_is_one_that_the_service_imports(
    service: ConfinedService, installation: Installation
) -> None:
    """While it serves with traces, rebalances and solves, or with other settings; few exceptions are listed."""
    check_rebalance(service.url)
    with reporting_imports() as reporting:
        done = subprocess.run(
            [installation.virtual_environment / "bin/python", "-c", BY_OTHER_SETTINGS],
            env={**installation.environment, **reporting},
            capture_output=True,
            text=True,
            check=True,
        )
    imported = imported_packages(installation, imported_modules(service.log.read_text() + done.stderr))
    assert (production_packages(platform.machine()) - imported) ^ NEVER_IMPORTED.keys() == set()
