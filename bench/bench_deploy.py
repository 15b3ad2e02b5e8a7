"""From the POST of a service to its first token, and where the time goes.

    python bench/bench_deploy.py [--runs 5] [--quick]

Starts a Slipway of its own on a temporary folder, then deploys and deletes the bundled model again and again.
One row a run, then minimum, median and maximum, in seconds:

    queue    POST sent → the instance's program started (request, task, shim)
    process  → the program's engine began to load (interpreter, imports)
    load     → the model loaded, as the runtime logs it
    verdict  → the service is Running (the model has generated its first token and a client can see it)
    running  the sum: POST sent → Running
    token    a first token for a caller through the gateway, after that
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import httpx

from tests.slipway_client import PASSWORD, SlipwayClient
from tests.slipway_process import SlipwayProcess

FORM = {"model_source": "open-source", "model": "SmolLM2-135M-Instruct", "acceleration": "none", "instances": 1}
SERVED = re.compile(r"^(?P<at>\S+Z) .* is served on \S+ after \S+ s \(model (?P<model>[0-9.]+) s\)", re.MULTILINE)
COLUMNS = ("queue", "process", "load", "verdict", "running", "token")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="deployments to time (5)")
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    options = parser.parse_args()
    runs = 1 if options.quick else options.runs
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        slipway = SlipwayProcess(Path(folder) / "data", SLIPWAY_ADMIN_PASSWORD=PASSWORD)
        try:
            slipway.start()
            client = SlipwayClient(slipway)
            rows = [deploy_once(client, f"bench_{number}") for number in range(runs)]
        finally:
            slipway.end_everything()
    print(f"{'':8}" + "".join(f"{column:>9}" for column in COLUMNS))
    for name, fold in (("minimum", min), ("median", statistics.median), ("maximum", max)):
        print(f"{name:8}" + "".join(f"{fold(row[column] for row in rows):9.2f}" for column in COLUMNS))
    print(json.dumps({"seconds": rows}))


def deploy_once(client: SlipwayClient, name: str) -> Mapping[str, float]:
    """Deploy, wait for Running, ask once, delete; returns the seconds of each part."""
    sent_at = time.time()
    answer = client.call("POST", "/llm-services", {"service_name": name, **FORM})
    answer.raise_for_status()
    while client.describe(name).get("Status") != "Running":
        time.sleep(0.02)
    running_at = time.time()
    token_seconds = first_token_seconds(client, name)
    log = Path(next(iter(client.slipway.data_dir.glob(f"instances/*/{name.replace('_', '-')}-r1-*"))))
    state = json.loads((log / "state.json").read_text())
    served = SERVED.search("".join(path.read_text() for path in sorted((log / "log").glob("*.log"))))
    assert served is not None, "the runtime logged no start"
    served_at = datetime.fromisoformat(served["at"]).timestamp()
    started_at = float(state["started_at"])
    client.call("DELETE", f"/services/local/{name}")
    client.wait_gone(name)
    return {
        "queue": started_at - sent_at,
        "process": served_at - started_at - float(served["model"]),
        "load": float(served["model"]),
        "verdict": running_at - served_at,
        "running": running_at - sent_at,
        "token": token_seconds,
    }


def first_token_seconds(client: SlipwayClient, name: str) -> float:
    """Seconds until the first byte of an answer reaches a caller of the gateway."""
    token = client.describe(name)["AccessToken"]
    started = time.perf_counter()
    url = f"{client.slipway.address}/api/predict/{name}"
    with httpx.stream("POST", url, content=b"Hello", headers={"Authorization": token}, trust_env=False) as answer:
        answer.raise_for_status()
        next(answer.iter_bytes())
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
