"""What KEDA accepts as a ScaledObject with the triggers used here: any other field is an error."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

type Count = Annotated[int, Meta(ge=0)]
type Text = Annotated[str, Meta(min_length=1)]
type Number = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]


class Strict(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of the object."""


class ScaleTarget(Strict, frozen=True):
    """The workload to scale."""

    name: Text
    api_version: Text = "apps/v1"
    kind: Text = "Deployment"
    env_source_container_name: str | None = None


class Fallback(Strict, frozen=True):
    """How many replicas to keep while a trigger cannot be read."""

    failure_threshold: Count
    replicas: Count
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = "static"


class AutoscalerConfig(Strict, frozen=True):
    """Passed on to the autoscaler that KEDA makes; `behavior` is Kubernetes' own."""

    behavior: dict[str, Any] | None = None
    name: str | None = None


class Advanced(Strict, frozen=True):
    """Settings that few need."""

    restore_to_original_replica_count: bool = False
    horizontal_pod_autoscaler_config: AutoscalerConfig | None = None


class PrometheusMetadata(Strict, frozen=True):
    """The query, and the value of it that one replica is meant to carry."""

    server_address: Annotated[str, Meta(pattern=r"^https?://")]
    query: Text
    threshold: Number
    activation_threshold: Number = "0"
    namespace: str | None = None
    ignore_null_values: Literal["true", "false"] = "true"
    unsafe_ssl: Literal["true", "false"] = "false"


class PrometheusTrigger(Strict, frozen=True, tag="prometheus", tag_field="type"):
    """Scales on a query."""

    metadata: PrometheusMetadata
    name: str | None = None
    metric_type: Literal["AverageValue", "Value"] = "AverageValue"
    use_cached_metrics: bool = False


class CpuMetadata(Strict, frozen=True):
    """Percent of the request, or cores."""

    value: Number
    container_name: str | None = None


class CpuTrigger(Strict, frozen=True, tag="cpu", tag_field="type"):
    """Scales on the pods' CPU."""

    metadata: CpuMetadata
    metric_type: Literal["Utilization", "AverageValue"]


class ScaledObjectSpec(Strict, frozen=True):
    """What to scale, by what, and how far."""

    scale_target_ref: ScaleTarget
    triggers: Annotated[tuple[PrometheusTrigger | CpuTrigger, ...], Meta(min_length=1)]
    polling_interval: Count = 30
    cooldown_period: Count = 300
    initial_cooldown_period: Count = 0
    idle_replica_count: Count | None = None
    min_replica_count: Count = 0
    max_replica_count: Count = 100
    fallback: Fallback | None = None
    advanced: Advanced | None = None


class Metadata(Struct, frozen=True):
    """The object's name; labels and annotations are free."""

    name: Text
    namespace: Text


class ScaledObject(Strict, frozen=True):
    """The whole object."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec
