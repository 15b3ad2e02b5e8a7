"""``/api/v2/clusters``: where services run, for programs."""

from __future__ import annotations

from tests.deployments.api.conftest import Api


def test_the_local_cluster_is_one_node_that_is_ready(viewer: Api) -> None:
    status, answer = viewer.get("clusters")
    assert status == 200
    [cluster] = answer["Clusters"]
    assert (cluster["ClusterId"], cluster["Kind"], cluster["Health"]) == ("local", "local", "ok")
    assert (cluster["NodeCount"], cluster["ReadyNodeCount"], cluster["FreeKnown"]) == (1, 1, True)
    assert cluster["Allocatable"]["Cpu"] > 0
    status, one = viewer.get("clusters/local")
    assert status == 200
    assert [node["Ready"] for node in one["Nodes"]] == [True]
    assert one["Connection"]["Way"] == "local"


def test_another_id_is_404(viewer: Api) -> None:
    status, answer = viewer.get("clusters/elsewhere")
    assert (status, answer["Code"]) == (404, "ClusterNotFound")


def test_nobody_sees_it_without_signing_in(db: None) -> None:
    assert Api(None).get("clusters")[0] == 401
