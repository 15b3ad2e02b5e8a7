"""The cluster that services run on: its health, its nodes, and how it is reached. A Slipway has one."""

from __future__ import annotations

from typing import TypedDict

from django.conf import settings
from django.utils.dateparse import parse_datetime
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments.accounts import workspaces_to_change
from deployments.api.authentication import caller
from deployments.api.errors import not_found
from deployments.api.fields import time_text
from deployments.api.openapi import answers
from deployments.clusters import get_cluster
from deployments.clusters.overview import (
    Amounts,
    ClusterOverview,
    NodeFields,
    QuotaFields,
    StorageFields,
    totals_of,
)


class AmountFields(TypedDict):
    """CPU in cores, memory in MiB, whole GPUs."""

    Cpu: float
    MemoryMiB: int
    Gpu: int


class GpuFields(TypedDict):
    """GPUs of one product on the nodes that are ready. ``Free`` is -1 where it is not known."""

    Product: str
    Total: int
    Free: int


class ClusterFields(TypedDict):
    """A cluster. ``Health`` is ``ok``, ``failing`` or ``unknown``; then ``Message`` says why, and everything is as old
    as ``AnsweredTime``. With ``ok`` it says where Kubernetes is older than Slipway needs. Sums are of the nodes that
    are ready and take instances; ``FreeKnown`` false: ``Free`` is not.
    """

    ClusterId: str
    Kind: str
    Version: str
    Health: str
    Code: str
    Message: str
    Since: str
    AnsweredTime: str
    NodeCount: int
    ReadyNodeCount: int
    Allocatable: AmountFields
    Free: AmountFields
    FreeKnown: bool
    Gpus: list[GpuFields]


class ClusterList(TypedDict):
    """The clusters: one."""

    Clusters: list[ClusterFields]
    TotalCount: int


class Taint(TypedDict):
    """What keeps instances off a node that do not tolerate it."""

    Key: str
    Value: str
    Effect: str


class NodeAnswer(TypedDict):
    """One node. ``Since`` is when it became ready or ceased to be, "" where nobody knows."""

    Name: str
    Ready: bool
    Cordoned: bool
    Since: str
    Reason: str
    Allocatable: AmountFields
    Free: AmountFields
    FreeKnown: bool
    GpuProduct: str
    GpuMemoryMiB: int
    Labels: dict[str, str]
    Taints: list[Taint]
    Version: str


class QuotaAnswer(TypedDict):
    """A quota of the namespace, in Kubernetes' quantities."""

    Name: str
    Hard: dict[str, str]
    Used: dict[str, str]


class StorageAnswer(TypedDict):
    """``csi``: a driver that mounts volumes; ``class``: what makes volumes on demand."""

    Kind: str
    Name: str
    Driver: str
    Default: bool


class ConnectionAnswer(TypedDict):
    """How Slipway reaches the cluster: ``local``, ``kubeconfig`` or ``in-cluster``."""

    Way: str
    Server: str
    Context: str
    Namespace: str
    Installation: str
    PodAccess: str


class ClusterDetails(ClusterFields):
    """A cluster with its nodes. Quotas and the connection are for those who may deploy, and empty for others."""

    Nodes: list[NodeAnswer]
    Quotas: list[QuotaAnswer]
    Storage: list[StorageAnswer]
    Connection: ConnectionAnswer


class ClustersView(APIView):
    """All clusters."""

    @extend_schema(operation_id="ListClusters", responses=answers(ClusterList))
    def get(self, request: Request) -> Response:
        """Where services run, as it was last seen."""
        return Response(ClusterList(Clusters=[cluster_fields(get_cluster().overview())], TotalCount=1))


class ClusterView(APIView):
    """One cluster."""

    @extend_schema(operation_id="DescribeCluster", responses=answers(ClusterDetails))
    def get(self, request: Request, cluster: str) -> Response:
        """The cluster with its nodes, as they were last seen."""
        if cluster != settings.SLIPWAY_REGION:
            known = f"This Slipway is {settings.SLIPWAY_REGION}."
            raise not_found("ClusterNotFound", f"There is no cluster of that id. {known}")
        overview = get_cluster().overview()
        may_deploy = workspaces_to_change(caller(request)).exists()
        return Response(
            ClusterDetails(
                **cluster_fields(overview),
                Nodes=[node_answer(one) for one in overview.nodes],
                Quotas=[quota_answer(one) for one in overview.quotas] if may_deploy else [],
                Storage=[storage_answer(one) for one in overview.storage],
                Connection=connection_answer(overview, is_shown=may_deploy),
            )
        )


def cluster_fields(overview: ClusterOverview) -> ClusterFields:
    totals = totals_of(overview.nodes)
    return ClusterFields(
        ClusterId=settings.SLIPWAY_REGION,
        Kind=overview.kind,
        Version=overview.version,
        Health=overview.health,
        Code=overview.code,
        Message=str(overview.message),
        Since=time_text(overview.since),
        AnsweredTime=time_text(overview.answered_at),
        NodeCount=totals.nodes,
        ReadyNodeCount=totals.ready,
        Allocatable=amounts(totals.allocatable),
        Free=amounts(totals.free),
        FreeKnown=totals.free is not None,
        Gpus=[
            GpuFields(Product=one.product, Total=one.total, Free=-1 if one.free is None else one.free)
            for one in totals.gpus
        ],
    )


def amounts(found: Amounts | None) -> AmountFields:
    if found is None:
        return AmountFields(Cpu=0, MemoryMiB=0, Gpu=0)
    return AmountFields(Cpu=found["cpu"], MemoryMiB=found["memory_mib"], Gpu=found["gpu"])


def node_answer(node: NodeFields) -> NodeAnswer:
    return NodeAnswer(
        Name=node["name"],
        Ready=node["is_ready"],
        Cordoned=node["is_cordoned"],
        Since=time_text(parse_datetime(node["since"])) if node["since"] else "",
        Reason=node["reason"],
        Allocatable=amounts(node["allocatable"]),
        Free=amounts(node["free"]),
        FreeKnown=node["free"] is not None,
        GpuProduct=node["gpu_product"],
        GpuMemoryMiB=node["gpu_memory_mib"],
        Labels=node["labels"],
        Taints=[Taint(Key=one["key"], Value=one["value"], Effect=one["effect"]) for one in node["taints"]],
        Version=node["version"],
    )


def quota_answer(quota: QuotaFields) -> QuotaAnswer:
    return QuotaAnswer(Name=quota["name"], Hard=quota["hard"], Used=quota["used"])


def storage_answer(one: StorageFields) -> StorageAnswer:
    return StorageAnswer(Kind=one["kind"], Name=one["name"], Driver=one["driver"], Default=one["is_default"])


def connection_answer(overview: ClusterOverview, *, is_shown: bool) -> ConnectionAnswer:
    found = overview.connection
    if not is_shown:
        return ConnectionAnswer(Way=found.way, Server="", Context="", Namespace="", Installation="", PodAccess="")
    return ConnectionAnswer(
        Way=found.way,
        Server=found.server,
        Context=found.context,
        Namespace=found.namespace,
        Installation=found.installation,
        PodAccess=found.pod_access,
    )
