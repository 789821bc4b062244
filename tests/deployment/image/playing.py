"""Turns the manifests of an overlay into what `podman kube play` can run, changing as little as possible.

podman knows Deployments, ConfigMaps and Secrets. It has no autoscalers, policies, Services or claims of a StatefulSet,
and it would probe with a command that the image does not have.
"""

import copy
from collections.abc import Mapping

import yaml

from tests.deployment.manifests import Manifest, build, find, of_kind, pod_of

SECRET = "globeco-order-generation-service-mongodb"
OF_A_CLUSTER = {
    "status.hostIP": "127.0.0.1",
    "status.podIP": "127.0.0.1",
    "spec.nodeName": "test-node",
    "metadata.namespace": "globeco",
}
"""What only a cluster can say, and what is said here instead."""
NOT_PLAYABLE = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle")


def deployments(overlay: str) -> list[Manifest]:
    """Return everything of an overlay that makes pods, each as a Deployment that podman can play."""
    found = copy.deepcopy(build(overlay))
    return [_playable(each) for each in (*of_kind(found, "Deployment"), *of_kind(found, "StatefulSet"))]


def document(workload: Manifest, overlay: str, image: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """Return the YAML of a workload with the ConfigMaps and Secrets that it reads.

    Args:
        workload: one of `deployments`.
        overlay: to which it belongs.
        image: which image to run for which one of the manifests.
        settings: that replace those of the ConfigMap, as there are no Services with the upstreams' names and ports.
    """
    (container,) = pod_of(workload)["containers"]
    container["image"] = image[container["image"]]
    container["imagePullPolicy"] = "Never"
    documents = []
    for source in container.get("envFrom", []):
        config = copy.deepcopy(find(build(overlay), "ConfigMap", source["configMapRef"]["name"]))
        config["data"] |= {name: value for name, value in settings.items() if name != "MONGODB_URL"}
        if not any(each["name"] == "MONGODB_URL" for each in container.get("env", [])):
            config["data"] |= {"MONGODB_URL": settings["MONGODB_URL"]}
        documents.append(config)
    documents.append(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET},
            "stringData": {"url": settings["MONGODB_URL"]},
        }
    )
    return yaml.safe_dump_all([*documents, workload])


def _playable(workload: Manifest) -> Manifest:
    pod = pod_of(workload)
    (container,) = pod["containers"]
    for name in NOT_PLAYABLE:
        container.pop(name, None)
    for variable in container.get("env", []):
        field = variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
        if field in OF_A_CLUSTER:
            del variable["valueFrom"]
            variable["value"] = OF_A_CLUSTER[field]
    claims = [each["metadata"]["name"] for each in workload["spec"].pop("volumeClaimTemplates", [])]
    pod["volumes"] = [*pod.get("volumes", []), *({"name": name, "emptyDir": {}} for name in claims)]
    for name in ("serviceAccountName", "topologySpreadConstraints"):
        pod.pop(name, None)
    workload["kind"] = "Deployment"
    workload["metadata"].pop("namespace", None)
    return workload
