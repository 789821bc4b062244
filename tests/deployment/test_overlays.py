"""What each overlay is for."""

import re
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest

from app.cli import simulator
from app.http.dialect import Dialect
from app.settings import SERVICE_URL_FIELDS, Settings, load_settings
from integrations.simulator import SimulatorSettings, running_simulator
from persistence.embedded import free_port
from tests.deployment.manifests import (
    NAME,
    OPTIMIZER,
    OVERLAY_DIRECTORY,
    build,
    build_text,
    find,
    labels_of,
    of_kind,
    pod_of,
    selects,
    service_container,
)
from tests.deployment.manifests import settings_of as settings_of_manifests
from tests.deployment.scaled_object import PrometheusTrigger, ScaledObject

UPSTREAMS = {
    str(urlsplit(url).hostname): int(urlsplit(url).port or 80)
    for url in (getattr(Settings(), field) for field in SERVICE_URL_FIELDS)
}
"""Host and port of every upstream, as the service's defaults have them."""


def memory_mebibytes(amount: str) -> int:
    """A quantity in Mi."""
    assert amount.endswith("Mi")
    return int(amount.removesuffix("Mi"))


def test_globeco_has_the_names_that_the_suite_uses() -> None:
    """Names and labels are those by which other services find this one."""
    manifests = build("globeco")
    deployment = find(manifests, "Deployment")
    assert {manifest["metadata"]["namespace"] for manifest in manifests} == {"globeco"}
    assert of_kind(manifests, "Namespace") == [], "the namespace exists already"
    assert deployment["metadata"]["name"] == service_container(manifests)["name"] == NAME
    assert deployment["metadata"]["labels"]["app"] == NAME
    assert deployment["spec"]["selector"] == {"matchLabels": {"app": NAME}}
    assert find(manifests, "Service")["spec"]["selector"] == {"app": NAME}
    assert [port["port"] for port in find(manifests, "Service")["spec"]["ports"]] == [8088]


def test_globeco_speaks_the_dialect_of_the_suite_on_its_port() -> None:
    """The overlay selects snake_case and port 8088."""
    settings = load_settings(dict(settings_of_manifests(build("globeco"))))
    assert (settings.api_dialect, settings.port) == (Dialect.GLOBECO, 8088)


def test_globeco_leaves_scaling_to_the_suite() -> None:
    """Its autoscaler reckons with a request of 700 Mi, and with one core."""
    manifests = build("globeco")
    resources = service_container(manifests)["resources"]
    assert memory_mebibytes(resources["requests"]["memory"]) == memory_mebibytes(resources["limits"]["memory"]) == 700
    assert resources["limits"]["cpu"] == "1"
    assert of_kind(manifests, "HorizontalPodAutoscaler") == []
    assert "replicas" not in find(manifests, "Deployment")["spec"]


def test_globeco_sends_telemetry_to_the_collector_of_its_node() -> None:
    """The endpoint uses the node's address, which is defined before it."""
    environment = {variable["name"]: variable for variable in service_container(build("globeco"))["env"]}
    assert environment["NODE_IP"]["valueFrom"] == {"fieldRef": {"fieldPath": "status.hostIP"}}
    assert environment["OTEL_COLLECTOR_GRPC_ENDPOINT"]["value"] == "$(NODE_IP):4317"
    names = list(environment)
    assert names.index("NODE_IP") < names.index("OTEL_COLLECTOR_GRPC_ENDPOINT"), "a later one would not be expanded"


def test_dev_brings_everything_into_a_namespace_of_its_own() -> None:
    """All manifests are in one namespace with the restricted standard."""
    manifests = build("dev")
    (namespace,) = of_kind(manifests, "Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    placed = [manifest for manifest in manifests if manifest["kind"] != "Namespace"]
    assert {manifest["metadata"]["namespace"] for manifest in placed} == {namespace["metadata"]["name"]}


async def test_dev_simulates_every_upstream_under_its_own_name_and_port() -> None:
    """The simulator's ports lead to the services that the settings name."""
    manifests = build("dev")
    (container,) = pod_of(find(manifests, "Deployment", "globeco-simulator"))["containers"]
    command, *options = container["args"]
    parameters = simulator.make_context(command, options).params
    assert (command, parameters["host"]) == ("simulator", "0.0.0.0")
    offsets = {port["name"]: port["containerPort"] - parameters["first_port"] for port in container["ports"]}
    first_port = await _first_of_six_free_ports()
    async with running_simulator(SimulatorSettings(first_port=first_port)) as running:
        simulated = {
            field: int(urlsplit(url).port or 0) - first_port
            for field, url in msgspec.structs.asdict(running.urls).items()
        }
    for host, port in UPSTREAMS.items():
        (service_port,) = find(manifests, "Service", host)["spec"]["ports"]
        assert service_port["port"] == port
        field = host.removeprefix("globeco-").removesuffix("-service").replace("-", "_")
        assert offsets[service_port["targetPort"]] == simulated[field]


async def _first_of_six_free_ports() -> int:
    """A simulator's ports follow one another; some other process may hold one of those after a free one."""
    for _ in range(20):
        first_port = free_port()
        try:
            async with running_simulator(SimulatorSettings(first_port=first_port)):
                return first_port
        except OSError:
            continue
    raise AssertionError("there are no six free ports in a row")


def test_production_takes_the_database_from_a_secret() -> None:
    """One that is missing, or has no URL, stops the pod before it starts."""
    (variable,) = [each for each in service_container(build("production"))["env"] if each["name"] == "MONGODB_URL"]
    assert variable == {
        "name": "MONGODB_URL",
        "valueFrom": {"secretKeyRef": {"name": f"{NAME}-mongodb", "key": "url"}},
    }
    assert of_kind(build("production"), "StatefulSet") == []


def test_production_scales_and_stays_up() -> None:
    """Autoscaler, disruption budget and rollout keep at least two pods."""
    manifests = build("production")
    deployment = find(manifests, "Deployment")
    autoscaler = find(manifests, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME}
    assert autoscaler["minReplicas"] >= 2
    assert "replicas" not in deployment["spec"]
    budget = find(manifests, "PodDisruptionBudget")["spec"]
    assert selects(budget["selector"]["matchLabels"], labels_of(deployment))
    assert budget["maxUnavailable"] < autoscaler["minReplicas"]
    assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    spread = pod_of(deployment)["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    assert all(selects(each["labelSelector"]["matchLabels"], labels_of(deployment)) for each in spread)


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda"])
def test_the_service_reaches_every_upstream_and_little_else(overlay: str) -> None:
    """Upstreams are allowed by namespace and port: no policy depends on a label of a workload of the suite."""
    policy = find(build(overlay), "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    inside = {
        port["port"] for rule in policy["egress"] if rule.get("to") == [{"podSelector": {}}] for port in rule["ports"]
    }
    assert inside == set(UPSTREAMS.values())
    anywhere = {_port(port) for rule in policy["egress"] if "to" not in rule for port in rule["ports"]}
    assert anywhere == {(53, "UDP"), (53, "TCP"), (27017, "TCP"), (4317, "TCP"), (4318, "TCP")}


def test_the_optimizer_reaches_no_upstream_and_no_database() -> None:
    """Its policy allows DNS and the collector of telemetry."""
    manifests = build("optimizer")
    policy = find(manifests, "NetworkPolicy")["spec"]
    assert selects(policy["podSelector"]["matchLabels"], labels_of(find(manifests, "Deployment")))
    (rule,) = policy["egress"]
    assert {port["port"] for port in rule["ports"]} == {53, 4317, 4318}


def test_the_optimizer_has_the_name_that_the_suite_reserves_for_it() -> None:
    """No object, label or container keeps the name of the order generation service, except the image."""
    manifests = build("optimizer")
    text = build_text(OVERLAY_DIRECTORY / "optimizer").replace(f"kasbench/{NAME}:", "")
    assert NAME not in text
    assert service_container(manifests)["name"] == find(manifests, "Deployment")["metadata"]["name"] == OPTIMIZER
    assert settings_of_manifests(manifests)["MONGODB_URL"] == "none"
    assert of_kind(manifests, "StatefulSet") == []
    autoscaler = find(manifests, "HorizontalPodAutoscaler")["spec"]
    assert autoscaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": OPTIMIZER}


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda", "optimizer"])
def test_the_service_is_called_on_its_port_alone(overlay: str) -> None:
    """From every pod of the cluster; in `globeco` from any address, since the gateway is outside of the pod network."""
    manifests = build(overlay)
    policy = find(manifests, "NetworkPolicy")["spec"]
    assert selects(policy["podSelector"]["matchLabels"], labels_of(find(manifests, "Deployment")))
    (rule,) = policy["ingress"]
    assert [port["port"] for port in rule["ports"]] == [port["name"] for port in service_container(manifests)["ports"]]
    assert rule.get("from") == (None if overlay == "globeco" else [{"namespaceSelector": {}}])


def test_keda_scales_production_on_the_portfolios_in_flight() -> None:
    """Of its own pods alone: the optimizer has the same metrics in the same namespace."""
    manifests = build("keda")
    assert of_kind(manifests, "HorizontalPodAutoscaler") == []
    (manifest,) = of_kind(manifests, "ScaledObject")
    spec = msgspec.convert(manifest, ScaledObject).spec
    assert spec.scale_target_ref.name == find(manifests, "Deployment")["metadata"]["name"]
    queries = [trigger.metadata.query for trigger in spec.triggers if isinstance(trigger, PrometheusTrigger)]
    (query,) = queries
    assert re.findall(r"order_generation_\w+", query) == ["order_generation_portfolios_in_flight"]
    (pods,) = re.findall(r'pod=~"([^"]+)"', query)
    assert re.fullmatch(pods, f"{NAME}-5d9c8f7b6-x2v4q")
    assert not re.fullmatch(pods, f"{OPTIMIZER}-5d9c8f7b6-x2v4q")
    others = [each for each in build("production") if each["kind"] != "HorizontalPodAutoscaler"]
    assert [each for each in manifests if each["kind"] != "ScaledObject"] == others


def _port(port: dict[str, Any]) -> tuple[object, str]:
    return port["port"], port["protocol"]
