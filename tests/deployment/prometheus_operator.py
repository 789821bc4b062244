"""What the Prometheus Operator accepts of the fields used here: any other field is an error."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

type Duration = Annotated[str, Meta(pattern=r"^\d+(s|m|h)$")]
type Text = Annotated[str, Meta(min_length=1)]


class Strict(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A part of an object."""


class Metadata(Struct, frozen=True):
    """Name and namespace; labels and annotations are free."""

    name: Text
    namespace: Text


class Selector(Strict, frozen=True):
    """Labels of what is scraped."""

    match_labels: dict[str, str]


class Endpoint(Strict, frozen=True):
    """A named port and how it is scraped."""

    port: Text
    path: Text
    interval: Duration


class PodMonitorSpec(Strict, frozen=True):
    """Pods and their ports."""

    selector: Selector
    pod_metrics_endpoints: tuple[Endpoint, ...]


class ServiceMonitorSpec(Strict, frozen=True):
    """Services and their ports."""

    selector: Selector
    endpoints: tuple[Endpoint, ...]


class PodMonitor(Strict, frozen=True):
    """The whole object."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    metadata: Metadata
    spec: PodMonitorSpec


class ServiceMonitor(Strict, frozen=True):
    """The whole object."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["ServiceMonitor"]
    metadata: Metadata
    spec: ServiceMonitorSpec


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"for_": "for"}):
    """An alert rule."""

    alert: Text
    expr: Text
    for_: Duration | None = None
    labels: dict[str, str]
    annotations: dict[str, str]


class Group(Strict, frozen=True):
    """Rules that are evaluated together."""

    name: Text
    rules: tuple[Rule, ...]


class Groups(Strict, frozen=True):
    """All groups."""

    groups: tuple[Group, ...]


class PrometheusRule(Strict, frozen=True):
    """The whole object."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    metadata: Metadata
    spec: Groups
