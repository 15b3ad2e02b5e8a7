"""The gateway under faults: a server process killed, one told to end, a service's instances replaced, each under load.

    python bench/bench_faults.py [--quick] [--faults kill,rollout,terminate] [--rate 500] [--streams 200] [--out FOLDER]

Starts a Slipway of its own with three server processes and two services of the pretended engine
(``bench/gateway/fake_engine.py``). 200 callers hold streams, one after the other; short questions come at random
instants, 500 a second. Every answer is compared with what the engine wrote, every row of usage with the answers.
Ends with an error where anything broke that was not in the killed process's hands. docs/gateway-benchmark.md says how
to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.gateway.crowd import Size
from bench.gateway.faults import FAULTS, Outcome, Site
from bench.gateway.loads import run
from console.environment import REPOSITORY

PROCESSES = 3
QUICK = Size(streams=20, rate=50.0, calm_seconds=0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    parser.add_argument("--faults", default=",".join(FAULTS), help=f"some of {','.join(FAULTS)}, as often as you like")
    parser.add_argument("--rate", type=float, help="short questions a second (500)")
    parser.add_argument("--streams", type=int, help="streams side by side (200)")
    parser.add_argument("--processes", type=int, default=PROCESSES, help=f"server processes ({PROCESSES})")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench" / "results")
    options = parser.parse_args()
    names = options.faults.split(",")
    if unknown := set(names) - set(FAULTS):
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    base = QUICK if options.quick else Size()
    size = replace(base, streams=options.streams or base.streams, rate=options.rate or base.rate)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    began, loads = time.time(), [os.getloadavg()[0]]
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
        site = Site(Path(folder), options.processes)
        try:
            site.start()
            for name in names:
                print(f"{name}:", flush=True)
                outcomes.append(run(FAULTS[name](site, size)))
                loads.append(os.getloadavg()[0])
                print(render(outcomes[-1]), flush=True)
        finally:
            site.stop()
    result = {
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load_averages": loads,  # before, and after each fault
        "processes": options.processes,
        "faults": [outcome.as_json() for outcome in outcomes],
    }
    options.out.mkdir(parents=True, exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began))
    (options.out / f"faults-{stamp}.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"load_averages": loads}))
    if any(outcome.faults for outcome in outcomes):
        raise SystemExit(1)


def render(outcome: Outcome) -> str:
    return "\n".join(f"    {name.replace('_', ' '):30}{value}" for name, value in outcome.as_json().items())


if __name__ == "__main__":
    main()
