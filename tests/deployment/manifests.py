"""The Kubernetes manifests as a cluster would get them: each overlay, built by kubectl."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deployment.containerfile import REPOSITORY
from tests.deployment.tools import run_tool

NAME = "globeco-order-generation-service"
DATABASE = f"{NAME}-mongodb"
OPTIMIZER = "globeco-portfolio-optimization-service"
OVERLAYS = ("dev", "globeco", "production", "keda", "optimizer")
OVERLAY_DIRECTORY = REPOSITORY / "kustomize/overlays"

type Manifest = dict[str, Any]


@cache
def build_text(directory: Path) -> str:
    """What `kubectl kustomize` makes of a directory."""
    code, output = run_tool("kubectl", "kustomize", str(directory))
    assert code == 0, output
    return output


def build(overlay: str) -> list[Manifest]:
    """The manifests of an overlay."""
    return read(build_text(OVERLAY_DIRECTORY / overlay))


def read(text: str) -> list[Manifest]:
    """The documents of a stream of YAML."""
    return list(yaml.safe_load_all(text))


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of one kind."""
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def find(manifests: list[Manifest], kind: str, name: str | None = None) -> Manifest:
    """Return the one of a kind and name; by default the service's own, by either of its names."""
    names = {name} if name else {NAME, OPTIMIZER}
    (found,) = [manifest for manifest in of_kind(manifests, kind) if manifest["metadata"]["name"] in names]
    return found


def workloads(manifests: list[Manifest]) -> list[Manifest]:
    """Everything that makes pods."""
    return of_kind(manifests, "Deployment") + of_kind(manifests, "StatefulSet")


def pod_of(workload: Manifest) -> Manifest:
    """The pod template's spec."""
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def labels_of(workload: Manifest) -> dict[str, str]:
    """The labels of its pods."""
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def service_container(manifests: list[Manifest]) -> Manifest:
    """The container of the service."""
    (container,) = pod_of(find(manifests, "Deployment"))["containers"]
    assert isinstance(container, dict)
    return container


def settings_of(manifests: list[Manifest]) -> dict[str, str]:
    """The ConfigMap that the service's container reads, found by the name it is given there."""
    (source,) = service_container(manifests)["envFrom"]
    data: dict[str, str] = find(manifests, "ConfigMap", source["configMapRef"]["name"])["data"]
    return data


def selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    """Whether a selector of labels picks pods with these."""
    return selector.items() <= labels.items()
