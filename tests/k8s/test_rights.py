"""Who of Slipway may do what in the cluster: what its work takes, and nothing else. Asked of a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml
from kubernetes import client, config

from deployments.clusters.kubernetes.kinds import MADE_BY_CLUSTER, POD, WRITTEN, Kind
from tests.k8s.installation import Manifest, kustomize, rename
from tests.kube import KubeCluster, fresh_namespace

pytestmark = pytest.mark.kubernetes

RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "ServiceAccount", "Namespace")
WRITING = ("create", "patch", "delete")
READING = ("get", "list", "watch")


@dataclass(frozen=True)
class Rights:
    reviews: client.AuthorizationV1Api
    namespace: str
    manifests: list[Manifest]

    def may(self, account: str, verb: str, resource: str, namespace: str | None = None) -> bool:
        """Whether that part may do this with ``pods`` or ``deployments.apps`` or ``pods/log``: in the namespace of
        services unless another is given; "" is the whole cluster.
        """
        plural, _, group = resource.partition(".")
        name, _, part = plural.partition("/")
        place = f"{self.namespace}-services" if namespace is None else namespace
        asked = client.V1ResourceAttributes(
            verb=verb, group=group or None, resource=name, subresource=part or None, namespace=place or None
        )
        user = f"system:serviceaccount:{self.namespace}:slipway-{account}"
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated"]
        spec = client.V1SubjectAccessReviewSpec(user=user, groups=groups, resource_attributes=asked)
        status = self.reviews.create_subject_access_review(client.V1SubjectAccessReview(spec=spec)).status
        assert status is not None
        return bool(status.allowed)

    def may_kind(self, account: str, verb: str, kind: Kind) -> bool:
        group = kind.api_version.rpartition("/")[0]
        name = f"{kind.plural}.{group}" if group else kind.plural
        return self.may(account, verb, name, None if kind.is_namespaced else "")


@pytest.fixture(scope="module")
def rights(kube: KubeCluster) -> Iterator[Rights]:
    """Accounts, roles and bindings of the base, in namespaces of their own. No pod runs."""
    api = config.new_client_from_config(str(kube.kubeconfig))
    with fresh_namespace(kube) as namespace, api:
        manifests = [one for one in rename(kustomize(kube, "base"), namespace) if one["kind"] in RIGHTS]
        text = yaml.safe_dump_all(manifests)
        try:
            kube.kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=text)
            yield Rights(client.AuthorizationV1Api(api), namespace, manifests)
        finally:
            left = [one for one in manifests if one["kind"] != "Namespace" or one["metadata"]["name"] != namespace]
            kube.try_kubectl(
                "delete", "--wait=false", "--ignore-not-found", "--filename=-", stdin=yaml.safe_dump_all(left)
            )


def rules(manifests: list[Manifest]) -> Iterator[tuple[str, dict[str, list[str]]]]:
    for one in manifests:
        for rule in one.get("rules", ()):
            yield one["metadata"]["name"], rule


def test_the_worker_may_write_what_a_service_is_made_of(rights: Rights) -> None:
    lacking = [
        (verb, kind.name)
        for kind in WRITTEN
        for verb in ("get", "list", *WRITING)
        if not rights.may_kind("worker", verb, kind)
    ]
    lacking += [
        (verb, kind.name) for kind in MADE_BY_CLUSTER for verb in ("list",) if not rights.may_kind("worker", verb, kind)
    ]
    lacking += [(verb, POD.name) for verb in ("get", "delete") if not rights.may_kind("worker", verb, POD)]
    assert lacking == []


def test_the_watcher_may_read_and_not_write(rights: Rights) -> None:
    kinds = (*WRITTEN, *MADE_BY_CLUSTER)
    assert [kind.name for kind in kinds if not all(rights.may_kind("watcher", verb, kind) for verb in READING)] == []
    assert [kind.name for kind in kinds for verb in WRITING if rights.may_kind("watcher", verb, kind)] == []
    assert rights.may("watcher", "get", "pods/log")


def test_the_console_may_end_a_pod_and_write_nothing_else(rights: Rights) -> None:
    assert rights.may_kind("console", "delete", POD)
    writes = [(verb, kind.name) for kind in WRITTEN for verb in WRITING if rights.may_kind("console", verb, kind)]
    assert writes == []


@pytest.mark.parametrize("account", ["gateway", "beat", "valkey", "postgres"])
def test_who_does_not_speak_with_the_cluster_may_nothing_there(rights: Rights, account: str) -> None:
    for resource in ("pods", "secrets", "deployments.apps", "services"):
        assert [verb for verb in (*READING, *WRITING) if rights.may(account, verb, resource)] == []
    accounts = {one["metadata"]["name"]: one for one in rights.manifests if one["kind"] == "ServiceAccount"}
    assert accounts[f"slipway-{account}"]["automountServiceAccountToken"] is False


@pytest.mark.parametrize("account", ["console", "worker", "watcher"])
def test_nobody_reaches_beyond_the_services(rights: Rights, account: str) -> None:
    for where in (rights.namespace, "kube-system"):
        for resource in ("secrets", "services", "deployments.apps"):
            assert [verb for verb in (*READING, *WRITING) if rights.may(account, verb, resource, where)] == []
        assert [verb for verb in WRITING if rights.may(account, verb, "pods", where)] == []
    for resource in ("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "serviceaccounts/token"):
        assert not rights.may(account, "create", resource)
    assert not rights.may(account, "create", "pods")


def test_no_rule_takes_everything(rights: Rights) -> None:
    written = [*rules(rights.manifests)]
    assert written
    known = {*READING, *WRITING}
    assert [name for name, rule in written if not known.issuperset(rule["verbs"])] == []
    assert [name for name, rule in written if "*" in (*rule["resources"], *rule["apiGroups"])] == []
