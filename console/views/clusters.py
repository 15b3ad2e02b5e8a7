"""**Clusters**, ``/clusters`` and ``/clusters/<id>``: where services run, and what is free there.

A Slipway has one cluster; its id is the region of the REST paths. Everybody who is signed in sees its health and its
nodes; how it is connected, and the namespace's quotas, are for those who may deploy.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from console.access import SignedInRequest, signed_in
from console.cluster_view import cluster_context, node_rows, quota_rows
from deployments.accounts import workspaces_to_change
from deployments.clusters import get_cluster
from deployments.clusters.overview import ClusterOverview
from deployments.models import Instance

NODES_A_PAGE = 50


@require_safe
@signed_in
def clusters(request: SignedInRequest) -> HttpResponse:
    """The one cluster, in a row."""
    context = page_of(get_cluster().overview())
    return render(request, "console/clusters/list.html", context)


@require_safe
@signed_in
def cluster(request: SignedInRequest, cluster_id: str) -> HttpResponse:
    """Health, nodes, storage; for those who may deploy also the connection and quotas."""
    if cluster_id != settings.SLIPWAY_REGION:
        raise Http404(f"no cluster {cluster_id}")
    overview = get_cluster().overview()
    rows = node_rows(overview.nodes, instances_by_node(overview))
    context = page_of(overview) | {
        "page": Paginator(rows, NODES_A_PAGE).get_page(request.GET.get("page")),
        "may_deploy": workspaces_to_change(request.user).exists(),
        "quotas": quota_rows(overview.quotas),
        "storage": sorted(overview.storage, key=lambda one: (one["kind"], one["name"])),
    }
    return render(request, "console/clusters/cluster.html", context)


def page_of(overview: ClusterOverview) -> dict[str, Any]:
    now = timezone.now()
    frame = {"section": "clusters", "cluster_id": settings.SLIPWAY_REGION, "now": now}
    return cluster_context(overview, now) | frame


def instances_by_node(overview: ClusterOverview) -> dict[str, int]:
    """How many instances run on each node. Those of the local cluster name none: they are all on its one."""
    counts = Instance.objects.values_list("node").annotate(n=Count("pk")).order_by()
    found = dict(counts)
    if overview.kind == "local":
        return {node["name"]: sum(found.values()) for node in overview.nodes}
    return found
