"""The components for the Prometheus Operator scrape the service and load the alert rules."""

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.deployment.containerfile import REPOSITORY
from tests.deployment.manifests import (
    OVERLAY_DIRECTORY,
    Manifest,
    build_text,
    find,
    labels_of,
    of_kind,
    read,
    selects,
    service_container,
)
from tests.deployment.prometheus_operator import PodMonitor, PrometheusRule, ServiceMonitor

COMPONENTS = REPOSITORY / "kustomize/components"


def build_with(component: str, overlay: str, directory: Path) -> list[Manifest]:
    """Return the manifests of an overlay with a component on top."""
    kustomization: dict[str, Any] = {
        "namespace": "globeco",
        "resources": [os.path.relpath(OVERLAY_DIRECTORY / overlay, directory)],
        "components": [os.path.relpath(COMPONENTS / component, directory)],
    }
    (directory / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return read(build_text(directory))


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda"])
def test_the_pod_monitor_scrapes_the_pods(overlay: str, tmp_path: Path) -> None:
    """It selects the pods by their label and names a port and path that they have."""
    manifests = build_with("pod-monitor", overlay, tmp_path)
    monitor = msgspec.convert(of_kind(manifests, "PodMonitor")[0], PodMonitor)
    deployment = find(manifests, "Deployment")
    assert selects(monitor.spec.selector.match_labels, labels_of(deployment))
    (endpoint,) = monitor.spec.pod_metrics_endpoints
    assert endpoint.port in {port["name"] for port in service_container(manifests)["ports"]}
    assert endpoint.path == deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]


@pytest.mark.parametrize("overlay", ["globeco", "production", "keda"])
def test_the_service_monitor_scrapes_the_service(overlay: str, tmp_path: Path) -> None:
    """It selects the Service by its label and names a port that it has."""
    manifests = build_with("service-monitor", overlay, tmp_path)
    monitor = msgspec.convert(of_kind(manifests, "ServiceMonitor")[0], ServiceMonitor)
    service = find(manifests, "Service")
    assert selects(monitor.spec.selector.match_labels, service["metadata"]["labels"])
    (endpoint,) = monitor.spec.endpoints
    assert endpoint.port in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint.path == "/metrics"


def test_the_rules_are_those_of_the_alert_file(tmp_path: Path) -> None:
    """A rule that exists only in one of the two files is an error."""
    manifests = build_with("prometheus-rule", "production", tmp_path)
    (rule,) = of_kind(manifests, "PrometheusRule")
    msgspec.convert(rule, PrometheusRule)
    assert rule["spec"] == yaml.safe_load((REPOSITORY / "monitoring/alerts.yaml").read_text())
