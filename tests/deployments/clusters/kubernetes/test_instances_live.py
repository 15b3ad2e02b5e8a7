"""Services that are not what their Deployment alone says: scaled by Kubernetes, or not started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import lifecycle
from deployments.clusters import get_cluster
from deployments.lifecycle import Conflict
from deployments.models import Service
from tests.deployments.clusters.kubernetes.failing import Bench, Case
from tests.deployments.clusters.kubernetes.watcher_process import watching
from tests.kube import KubeCluster, require_image
from tests.waiting import wait_until

pytestmark = [pytest.mark.kubernetes, pytest.mark.django_db(transaction=True), pytest.mark.timeout(400)]

#: Holds 100 MB of its 256 MiB, and answers.
PROGRAM = (
    'exec python3 -c \'import http.server as h, os; held = b"x" * 100_000_000; '
    'h.ThreadingHTTPServer(("", int(os.environ["PORT"])), h.SimpleHTTPRequestHandler).serve_forever()\''
)
SCALED = Case(
    "scaled", ("Running", "RUNNING", ""), "",
    container={"script": PROGRAM}, metadata={"memory": 256, "instance": 1},
    others={"autoscaler": {"min": 1, "max": 2, "strategies": {"memory": 10, "qps": 5}}},
)  # fmt: skip


@pytest.fixture
def bench(kube: KubeCluster, namespace: str) -> Iterator[Bench]:
    image = require_image(kube)
    made = Bench(kube.settings(namespace, images={"tools": image}))
    yield made
    made.remove()


def test_what_the_autoscaler_makes_is_what_is_wanted_and_nobody_takes_it_back(bench: Bench) -> None:
    bench.deploy(SCALED)

    def grown() -> Service | None:
        service = bench.look("scaled")
        return service if service.message == "Running. 2 of 2 instances answer." else None

    wait_until(grown, "two instances, of one in the document", timeout_seconds=300)
    with bench.under(SCALED):
        writes = get_cluster().connection.counts  # type: ignore[attr-defined]  # of the process's one connection
        before = {verb: writes.get(verb, 0) for verb in ("apply", "patch", "delete")}
        bench.look("scaled")
        assert {verb: writes.get(verb, 0) for verb in before} == before
    service = Service.objects.get(name="scaled")
    assert service.serving_revision is not None
    assert service.wanted_instances == 2, "what pages and REST tell as the number in all"
    with bench.under(SCALED):
        with pytest.raises(Conflict) as refused:
            lifecycle.scale(service, 1, bench.operator())
        assert refused.value.code == "autoscaled"
        lifecycle.scale(service, 0, bench.operator())
        lifecycle.scale(Service.objects.get(name="scaled"), 1, bench.operator())


def test_an_unchanged_service_costs_no_request_while_a_watcher_is_fresh(
    bench: Bench, kube: KubeCluster, namespace: str, tmp_path: Path
) -> None:
    case = Case("quiet", ("Running", "RUNNING", ""), "")
    with watching(kube.kubeconfig, namespace, tmp_path) as watcher:
        bench.deploy(case)
        assert bench.wait(180) == bench.expected()
        watcher.wait_fresh()
        with bench.under(case):
            connection = get_cluster().connection  # type: ignore[attr-defined]  # the process's one
            before = dict(connection.counts)
            for _ in range(5):
                assert bench.look("quiet").status == "Running"
            assert connection.counts == before
        assert sum(before.values()) > 0, "they are counted"


def test_a_program_that_is_not_started_again_fails_at_once_with_its_last_words(bench: Bench) -> None:
    case = Case(
        "blocked", ("Failed", "CrashLoopBackOff", "UnknownFlag"), "does not know the flag --modle.",
        container={"script": "echo 'error: unrecognized arguments: --modle=x' >&2; exit 2"},
        others={"runtime": {"enable_crash_block": True}},
    )  # fmt: skip
    bench.deploy(case)
    assert bench.wait(120) == bench.expected()
    service = Service.objects.get(name="blocked")
    assert case.words in service.message
