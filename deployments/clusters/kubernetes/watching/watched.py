"""What is listed and watched: one entry for each list that the API server is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.clusters.kubernetes import kinds
from deployments.clusters.kubernetes.connection import Selection
from deployments.clusters.kubernetes.kinds import Kind
from deployments.clusters.kubernetes.names import selector
from deployments.clusters.kubernetes.settings import KubernetesSettings


@dataclass(frozen=True, slots=True)
class Watched:
    """One list of objects of one kind."""

    kind: Kind
    #: Only objects with the labels of this installation; otherwise everybody's.
    is_ours: bool = True
    #: Without it no service's view is whole. Of the others the page Clusters says that they are not known.
    is_needed: bool = True
    every_namespace: bool = False
    field_selector: str = ""

    @property
    def name(self) -> str:
        """Unique among ``WATCHED``."""
        return f"{self.kind.name} of all" if self.every_namespace else self.kind.name

    def selection(self, settings: KubernetesSettings) -> Selection:
        """What picks the list's objects."""
        return Selection(
            labels=selector(settings.installation) if self.is_ours else "",
            fields=self.field_selector,
            everywhere=self.every_namespace,
        )


PODS = Watched(kinds.POD)
ENDPOINT_SLICES = Watched(kinds.ENDPOINT_SLICE)
#: Kubernetes' own events carry no labels of ours: those about our objects are picked out here.
EVENTS = Watched(kinds.EVENT, is_ours=False, is_needed=False)
NODES = Watched(kinds.NODE, is_ours=False, is_needed=False)
#: For what they take of each node; those that have ended take nothing.
ALL_PODS = Watched(
    kinds.POD,
    is_ours=False,
    is_needed=False,
    every_namespace=True,
    field_selector="status.phase!=Succeeded,status.phase!=Failed",
)
QUOTAS = Watched(kinds.QUOTA, is_ours=False, is_needed=False)
STORAGE_CLASSES = Watched(kinds.STORAGE_CLASS, is_ours=False, is_needed=False)
CSI_DRIVERS = Watched(kinds.CSI_DRIVER, is_ours=False, is_needed=False)

#: What a service's objects are of. A PersistentVolume belongs to no namespace, so whoever may only work in one may
#: not see them.
OF_SERVICES = (
    Watched(kinds.DEPLOYMENT),
    PODS,
    ENDPOINT_SLICES,
    Watched(kinds.SERVICE),
    Watched(kinds.SECRET),
    Watched(kinds.CLAIM),
    Watched(kinds.VOLUME, is_needed=False),
    Watched(kinds.AUTOSCALER),
    Watched(kinds.BUDGET),
    Watched(kinds.NETWORK_POLICY),
)
OF_CLUSTER = (NODES, ALL_PODS, QUOTAS, STORAGE_CLASSES, CSI_DRIVERS)
WATCHED = (*OF_SERVICES, EVENTS, *OF_CLUSTER)
