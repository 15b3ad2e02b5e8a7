"""A thousand services of two instances on Kubernetes, made through REST by one worker.

    python bench/bench_kubernetes.py [--sizes 100,300,1000] [--bare 200] [--rounds 20] [--quick]

Starts a control plane of its own with fake nodes (objects only: pods are ready at once, and nothing runs in them) by
the cluster program that the tests use (docs/checks.md), and a Slipway of its own. Where there is no such program, it
says so and measures nothing.

    create     POST of the first → all services Running: services a minute, requests to the API server for each; at
               every size, from the one before
    cpu        what each part has used of the processors meanwhile for each service, the control plane and this program
               too; of the bare loop the same, which is what a service takes without Slipway
    bare       the same server-side applies by as many threads without Slipway and without its limit of requests, until
               their pods are ready: before and after, in the same run
    change     a pod's change → what is known of its service; a pod unready → its instance takes no requests
    reconcile  every service made due at once → all looked at: seconds, CPU of the worker, requests (0 is right, but for
               what the watcher and the log keeper ask meanwhile)
    memory     resident, of worker and watcher
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import django

from console.environment import SETTINGS
from tests.kube import KubeCluster, find_cluster_program, objects_only_cluster
from tests.slipway_client import PASSWORD
from tests.slipway_process import SlipwayProcess

if TYPE_CHECKING:
    from bench.kubernetes_services import Bare

#: Of the half CPU that each takes, on nodes of 96.
PODS_A_NODE = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="100,300,1000", help="numbers of services to measure at (100,300,1000)")
    parser.add_argument("--bare", type=int, default=200, help="services of the bare loop (200)")
    parser.add_argument("--rounds", type=int, default=20, help="pods to change at each size (20)")
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.bare, options.rounds = "10,30", 10, 3
    if find_cluster_program() is None:
        print("no Kubernetes: there is no ../shared/kube/cluster, and TEST_CLUSTER names none; nothing is measured")
        return
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder, objects_only_cluster() as cluster:
        print(json.dumps(measure(cluster, Path(folder), options)))


def measure(cluster: KubeCluster, folder: Path, options: argparse.Namespace) -> dict[str, object]:
    sizes = [int(size) for size in options.sizes.split(",")]
    set_up_django(folder / "data")
    # Imported here, for models can be imported once Django is set up, and that is done above.
    from bench import kubernetes_cluster, kubernetes_services

    pods = kubernetes_services.INSTANCES * (sizes[-1] + options.bare)
    kubeconfig = kubernetes_cluster.prepare(cluster, folder, nodes=pods // PODS_A_NODE + 2)
    bare = [kubernetes_services.fill_bare(cluster, options.bare)]
    report_bare(bare[-1])
    process = SlipwayProcess(
        folder / "data",
        is_embedded=True,
        SLIPWAY_ADMIN_PASSWORD=PASSWORD,
        SLIPWAY_CLUSTER="kubernetes",
        KUBECONFIG=str(kubeconfig),
        SLIPWAY_NAMESPACE=kubernetes_cluster.NAMESPACE,
    )
    try:
        slipway = kubernetes_services.Slipway(process.start(), cluster)
        steps = zip([0, *sizes[:-1]], sizes, strict=True)
        found = [at_size(slipway, before, size, options.rounds) for before, size in steps]
    finally:
        process.end_everything()
    bare.append(kubernetes_services.fill_bare(cluster, options.bare))
    report_bare(bare[-1])
    made, seconds = sizes[-1], sum(one["create_seconds"] for one in found)
    ratio = (made / seconds) / (sum(one.services for one in bare) / sum(one.seconds for one in bare))
    told = f"{made} services in {seconds:.0f} s: {made / seconds * 60:.0f} a minute"
    print(f"create    {told}, {ratio:.2f} of the bare rate")
    own = sum(sum(one["cpu_ms_each"].values()) * one["made"] for one in found) / made
    least = sum(sum(one.cpu.values()) for one in bare) / sum(one.services for one in bare) * 1000
    print(f"cpu       {own:.0f} ms for each service, {least:.0f} of the bare loop: {least / own:.2f}")
    return {
        "sizes": found,
        "bare_seconds": [one.seconds for one in bare],
        "bare_services": options.bare,
        "ratio": ratio,
    }


def set_up_django(data_dir: Path) -> None:
    for setting in SETTINGS:
        os.environ.pop(setting.name, None)
    os.environ["SLIPWAY_DATA_DIR"] = str(data_dir)
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings"
    django.setup()


def report_bare(bare: Bare) -> None:
    rate = bare.services / bare.seconds * 60
    print(f"bare      {bare.services} services in {bare.seconds:.1f} s: {rate:.0f} a minute")
    report_cpu(f"bare {bare.services}", bare.services, bare.cpu)


def report_cpu(which: str, services: int, cpu_seconds: Mapping[str, float]) -> None:
    ms = {name: seconds / services * 1000 for name, seconds in cpu_seconds.items()}
    used = ", ".join(f"{name} {each:.0f}" for name, each in ms.items() if each >= 1)
    print(f"cpu       {which}, ms for each service: {used}; {sum(ms.values()):.0f} in all", flush=True)


def at_size(slipway: object, before: int, size: int, rounds: int) -> dict[str, Any]:
    """Everything that is measured with ``size`` services, which are made here from ``before`` on."""
    from bench import kubernetes_services as services

    assert isinstance(slipway, services.Slipway)
    filled = services.fill(slipway, [f"bench_{number:04d}" for number in range(before, size)])
    each, applies = filled.spent.requests / filled.services, filled.spent.applies / filled.services
    rate = filled.services / filled.seconds * 60
    cpu_ms = {name: seconds / filled.services * 1000 for name, seconds in filled.cpu.items()}
    told = f"for each service {each:.1f} requests, {applies:.1f} of them applies"
    print(f"create    {before} → {size}: {rate:.0f} a minute (posted in {filled.posted_seconds:.0f} s); {told}")
    report_cpu(f"{before} → {size}", filled.services, filled.cpu)
    known, unrouted = services.times_to_row(slipway, rounds)
    print(f"change    at {size}: known after {services.summary(known)}; unrouted after {services.summary(unrouted)}")
    looked = services.reconcile_all(slipway)
    print(
        f"reconcile at {size}: {looked.seconds:.1f} s, {looked.worker_seconds:.1f} s of CPU, "
        f"{looked.spent.requests} requests, {looked.spent.applies} applies"
    )
    worker, watcher = slipway.memory_mib("app worker"), slipway.memory_mib("watch_cluster")
    print(f"memory    at {size}: worker {worker:.0f} MiB, watcher {watcher:.0f} MiB", flush=True)
    return {
        "services": size,
        "made": filled.services,
        "create_seconds": filled.seconds,
        "requests_each": each,
        "applies_each": applies,
        "cpu_ms_each": {name: round(ms, 1) for name, ms in cpu_ms.items()},
        "known_p50_seconds": sorted(known)[len(known) // 2],
        "unrouted_p50_seconds": sorted(unrouted)[len(unrouted) // 2],
        "reconcile_seconds": looked.seconds,
        "reconcile_cpu_seconds": looked.worker_seconds,
        "reconcile_requests": looked.spent.requests,
        "worker_mib": worker,
        "watcher_mib": watcher,
    }


if __name__ == "__main__":
    main()
