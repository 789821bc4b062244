"""The manifests fit together, fit the service, and meet the restricted pod security standard, in every overlay."""

import os
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml

from app.operations.health import HealthController
from app.settings import Settings, load_settings
from tests.deployment.containerfile import REPOSITORY, final_stage
from tests.deployment.manifests import (
    DATABASE,
    NAME,
    OVERLAY_DIRECTORY,
    OVERLAYS,
    build,
    build_text,
    find,
    labels_of,
    of_kind,
    pod_of,
    read,
    selects,
    service_container,
    settings_of,
    workloads,
)

SETTINGS = {field.upper() for field in Settings.__struct_fields__}
EVERY_OVERLAY = pytest.mark.parametrize("overlay", OVERLAYS)


@EVERY_OVERLAY
def test_workloads_select_their_own_pods(overlay: str) -> None:
    """Selectors match the labels of the template beside them."""
    for workload in workloads(build(overlay)):
        assert selects(workload["spec"]["selector"]["matchLabels"], labels_of(workload))


@EVERY_OVERLAY
def test_services_lead_to_a_port_of_a_pod(overlay: str) -> None:
    """Each service selects one workload and names one of its ports."""
    manifests = build(overlay)
    services = of_kind(manifests, "Service")
    assert services
    for service in services:
        (target,) = [each for each in workloads(manifests) if selects(service["spec"]["selector"], labels_of(each))]
        named = {port["name"] for container in pod_of(target)["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


@EVERY_OVERLAY
def test_every_port_of_the_service_is_the_one_it_listens_on(overlay: str) -> None:
    """Container, service, annotations and settings agree."""
    manifests = build(overlay)
    port = load_settings(dict(settings_of(manifests))).port
    assert [each["containerPort"] for each in service_container(manifests)["ports"]] == [port]
    assert [each["port"] for each in find(manifests, "Service")["spec"]["ports"]] == [port]
    annotations = find(manifests, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(port)
    assert port == (8088 if overlay == "globeco" else 8080)


@EVERY_OVERLAY
def test_probes_point_to_routes_of_the_service(overlay: str) -> None:
    """The paths are those of the handlers in the code."""
    handlers = (HealthController.live, HealthController.ready)
    live, ready = (f"{HealthController.path}{path}" for handler in handlers for path in handler.paths)
    assert (live, ready) == ("/health/live", "/health/ready")
    container = service_container(build(overlay))
    paths = {name: probe["httpGet"]["path"] for name, probe in container.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}
    ports = {probe["httpGet"]["port"] for name, probe in container.items() if name.endswith("Probe")}
    assert ports == {port["name"] for port in container["ports"]}


@EVERY_OVERLAY
def test_every_setting_in_a_config_map_exists_and_is_accepted(overlay: str) -> None:
    """The service can be configured with each overlay."""
    settings = settings_of(build(overlay))
    unknown = {name for name in settings if name not in SETTINGS and not name.startswith("OTEL_")}
    assert unknown == set()
    load_settings(dict(settings))


@EVERY_OVERLAY
def test_every_setting_can_be_set_in_the_config_map_or_a_secret(overlay: str, tmp_path: Path) -> None:
    """An overlay on top of it sets them all; nothing in the container's own `env` outweighs one but the Secret."""
    chosen = {name.upper(): str(value) for name, value in msgspec.to_builtins(Settings()).items()}
    overlay_on_top = {
        "resources": [os.path.relpath(OVERLAY_DIRECTORY / overlay, tmp_path)],
        "configMapGenerator": [
            {"name": NAME, "behavior": "merge", "literals": [f"{name}={value}" for name, value in chosen.items()]}
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay_on_top))
    manifests = read(build_text(tmp_path))
    assert chosen.keys() == SETTINGS
    assert chosen.items() <= settings_of(manifests).items()
    own = {variable["name"]: variable for variable in service_container(manifests).get("env", [])}
    outweighed = own.keys() & SETTINGS
    assert outweighed == ({"MONGODB_URL"} if overlay in {"production", "keda"} else set())
    assert all("secretKeyRef" in own[name]["valueFrom"] for name in outweighed)


@EVERY_OVERLAY
def test_no_secret_is_in_the_repository(overlay: str) -> None:
    """Overlays refer to secrets and have none."""
    assert of_kind(build(overlay), "Secret") == []
    assert "password" not in build_text(OVERLAY_DIRECTORY / overlay).lower()


@EVERY_OVERLAY
def test_every_pod_meets_the_restricted_security_standard(overlay: str) -> None:
    """User, seccomp, capabilities, volumes and namespaces satisfy Kubernetes' strictest level."""
    for workload in workloads(build(overlay)):
        pod = pod_of(workload)
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.keys()
        assert all(volume.keys() & {"emptyDir", "secret"} for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


@EVERY_OVERLAY
def test_every_container_has_requests_and_limits(overlay: str) -> None:
    """Processor, memory and ephemeral storage have both."""
    for workload in workloads(build(overlay)):
        for container in pod_of(workload)["containers"]:
            assert {name: sorted(amounts) for name, amounts in container["resources"].items()} == {
                "limits": ["cpu", "ephemeral-storage", "memory"],
                "requests": ["cpu", "ephemeral-storage", "memory"],
            }


@EVERY_OVERLAY
def test_there_is_a_core_for_every_solver_process(overlay: str) -> None:
    """The processor limit equals the number of solver processes."""
    manifests = build(overlay)
    cores = int(service_container(manifests)["resources"]["limits"]["cpu"])
    assert load_settings(dict(settings_of(manifests))).solver_processes == cores


@EVERY_OVERLAY
def test_the_volume_fits_into_the_ephemeral_storage(overlay: str) -> None:
    """With 100 MiB left for the container's log; otherwise the kubelet evicts the pod before the volume is full."""
    for workload in workloads(build(overlay)):
        pod = pod_of(workload)
        volumes = sum(
            _mebibytes(each["emptyDir"]["sizeLimit"]) for each in pod.get("volumes", []) if "emptyDir" in each
        )
        (container,) = pod["containers"]
        assert _mebibytes(container["resources"]["limits"]["ephemeral-storage"]) >= volumes + 100


@EVERY_OVERLAY
def test_a_rollout_waits_until_a_new_pod_has_proven_itself(overlay: str) -> None:
    """A pod that fails seconds after it was ready for the first time stops the rollout."""
    deployment = find(build(overlay), "Deployment")
    assert deployment["spec"]["minReadySeconds"] == 10


@EVERY_OVERLAY
def test_a_stopping_pod_has_time_to_drain(overlay: str) -> None:
    """The grace period covers the pause before the signal, the drain and a margin."""
    manifests = build(overlay)
    sleep = service_container(manifests)["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod_of(find(manifests, "Deployment"))["terminationGracePeriodSeconds"]
    assert grace >= sleep + load_settings(dict(settings_of(manifests))).drain_seconds + 10


@EVERY_OVERLAY
def test_the_user_is_the_images_own(overlay: str) -> None:
    """Manifests and Containerfile name the same user and group."""
    context = pod_of(find(build(overlay), "Deployment"))["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == final_stage().only("USER").value


@EVERY_OVERLAY
def test_images_have_fixed_versions(overlay: str) -> None:
    """The service's is this very version of the project, MongoDB's the one that the requirements name."""
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    images = {each["image"] for workload in workloads(build(overlay)) for each in pod_of(workload)["containers"]}
    assert images <= {f"kasbench/{NAME}:{version}", "mongo:8.0"}
    assert f"kasbench/{NAME}:{version}" in images


@EVERY_OVERLAY
def test_only_tmp_is_writable(overlay: str) -> None:
    """No other volume is mounted for writing."""
    container = service_container(build(overlay))
    assert [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")] == ["/tmp"]


@pytest.mark.parametrize("overlay", ["dev", "globeco"])
def test_the_default_mongodb_is_there(overlay: str) -> None:
    """The service's default URL leads to the StatefulSet, and only the service gets through to it."""
    manifests = build(overlay)
    assert Settings().mongodb_url == f"mongodb://{DATABASE}:27017"
    assert [port["port"] for port in find(manifests, "Service", DATABASE)["spec"]["ports"]] == [27017]
    database = find(manifests, "StatefulSet", DATABASE)
    assert [port["containerPort"] for port in pod_of(database)["containers"][0]["ports"]] == [27017]
    policy = find(manifests, "NetworkPolicy", DATABASE)["spec"]
    assert selects(policy["podSelector"]["matchLabels"], labels_of(database))
    (source,) = policy["ingress"][0]["from"]
    assert selects(source["podSelector"]["matchLabels"], labels_of(find(manifests, "Deployment")))


def _mebibytes(amount: str) -> int:
    """Return a quantity in Mi or Gi as a number of MiB."""
    return int(amount[:-2]) * {"Mi": 1, "Gi": 1024}[amount[-2:]]
