"""Every manifest of every overlay is one that Kubernetes, or KEDA, accepts."""

import msgspec
import pytest
import yaml

from tests.deployment.manifests import OVERLAY_DIRECTORY, OVERLAYS, Manifest, build, find, of_kind
from tests.deployment.scaled_object import ScaledObject
from tests.deployment.tools import run_tool

OLDEST, NEWEST = "1.30", "1.37"
"""The first Kubernetes with the sleep before a stop switched on, and the newest whose schemas the validator has."""


def validate(manifests: list[Manifest], version: str) -> tuple[int, str]:
    """Hold manifests to the schemas of a Kubernetes version, unknown fields being errors."""
    return run_tool("kubernetes-validate", "--strict", "-k", version, "-", text=yaml.safe_dump_all(manifests))


def test_every_overlay_is_tested() -> None:
    """A new overlay cannot be forgotten here."""
    assert sorted(path.name for path in OVERLAY_DIRECTORY.iterdir()) == sorted(OVERLAYS)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_accepts_every_manifest(overlay: str, version: str) -> None:
    """Each manifest satisfies the schemas of the oldest and the newest supported version."""
    manifests = [manifest for manifest in build(overlay) if manifest["kind"] != "ScaledObject"]
    code, output = validate(manifests, version)
    assert code == 0, output
    assert output.count(" passed for resource ") == len(manifests), output


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    """A misspelled field fails the validation, by its name."""
    deployment = find(build("dev"), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["timeOutSeconds"] = 1
    code, output = validate([deployment], NEWEST)
    assert code == 1
    assert "timeOutSeconds" in output


def test_keda_accepts_the_scaled_object() -> None:
    """It has the form of KEDA's resource, in the suite's namespace."""
    (scaled_object,) = of_kind(build("keda"), "ScaledObject")
    assert msgspec.convert(scaled_object, ScaledObject).metadata.namespace == "globeco"


def test_a_field_that_keda_does_not_know_is_refused() -> None:
    """A misspelled field fails the validation, by its name."""
    (scaled_object,) = of_kind(build("keda"), "ScaledObject")
    scaled_object["spec"]["minReplicas"] = 2
    with pytest.raises(msgspec.ValidationError, match="minReplicas"):
        msgspec.convert(scaled_object, ScaledObject)
