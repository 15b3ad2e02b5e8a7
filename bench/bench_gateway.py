"""The gateway beside others, one core each: nobody between, nginx, Slipway, other routers.

    python bench/bench_gateway.py [--quick] [--arms direct,nginx,slipway] [--rounds 5] [--out bench/results]

Every arm stands before the same pretended engine (``bench/gateway/fake_engine.py``), checks its callers' token, has
one core to itself, and is asked by the same generators, which share the other cores with the engine. Arms take turns
in every round; ``direct`` and ``nginx`` begin and end it, which shows how far the machine itself moved. An arm that
answers anything wrong has no figures: errors are quick, and would look like speed. docs/gateway-benchmark.md says how
to read the table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import resource
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.gateway.arms import Arm, Direct, Engine, InvalidError, Nginx, Slipway, UnavailableError
from bench.gateway.measures import (
    QUICK,
    Figures,
    Scale,
    measure_dialogues,
    measure_idle,
    measure_memory,
    measure_round,
    measure_throughput,
)
from bench.gateway.peers import PEERS
from bench.gateway.processes import pin, split_cpus
from bench.gateway.report import judge, render_page, summarize_arms
from console.environment import REPOSITORY

OWN_ARMS = ("direct", "nginx", "slipway")
ARMS = (*OWN_ARMS, *(kind.name for kind in PEERS))
#: Measured again at the end of each round.
BOOKENDS = ("direct", "nginx")
MOST_FILES = 65_536


class Bench:
    """One run. ``skipped`` says of each arm without figures why."""

    def __init__(self, scale: Scale, names: list[str], folder: Path) -> None:
        gateway_cpus, load_cpus = split_cpus(os.sched_getaffinity(0))
        pin([os.getpid()], load_cpus)  # and with it whatever is started here
        self.scale = scale
        self.engine = Engine(folder)
        self.skipped: dict[str, str] = {}
        self.rounds: dict[str, dict[str, list[float]]] = {}
        self.drift: dict[str, list[tuple[float, float]]] = defaultdict(list)
        makers: dict[str, Callable[[], Arm]] = {
            "direct": partial(Direct, self.engine),
            "nginx": partial(Nginx, self.engine, folder, gateway_cpus),
            "slipway": partial(Slipway, folder, gateway_cpus),
            **{kind.name: partial(kind, self.engine, folder, gateway_cpus) for kind in PEERS},
        }
        self.arms: list[Arm] = [makers[name]() for name in names]

    def run(self) -> None:
        try:
            self.engine.start()
            for arm in list(self.arms):
                figures = self._attempt(arm, self._begin)
                if figures is not None:
                    self._note(arm, figures)
            for number in range(self.scale.rounds):
                self._round(number + 1)
        finally:
            for arm in self.arms:
                arm.stop()
            self.engine.stop()

    def _begin(self, arm: Arm, scale: Scale) -> Figures:
        print(f"{arm.name} starts", flush=True)
        arm.start()
        arm.validate()
        return measure_memory(arm, scale) | measure_dialogues(arm, scale) | measure_idle(arm, scale)

    def _round(self, number: int) -> None:
        begun: Figures = {}
        for arm in list(self.arms):
            print(f"round {number}: {arm.name}", flush=True)
            figures = self._attempt(arm, measure_round)
            if figures is not None:
                self._note(arm, figures)
                begun[arm.name] = figures["throughput_rps"]
        for arm in list(self.arms):
            if arm.name in BOOKENDS and arm.name in begun and len(self.arms) > 1:
                again = self._attempt(arm, measure_throughput)
                if again is not None:
                    self.drift[arm.name].append((begun[arm.name], again["throughput_rps"]))

    def _note(self, arm: Arm, figures: Figures) -> None:
        rounds = self.rounds.setdefault(arm.name, {})
        for key, value in figures.items():
            rounds.setdefault(key, []).append(value)

    def _attempt(self, arm: Arm, step: Callable[[Arm, Scale], Figures]) -> Figures | None:
        """Do it; an arm that cannot, or that answers wrongly, has no figures and no more turns."""
        try:
            return step(arm, self.scale)
        except (UnavailableError, InvalidError, OSError, ValueError, AssertionError) as error:
            self.skipped[arm.name] = f"{'' if isinstance(error, UnavailableError) else 'failed: '}{error}"
            print(f"{arm.name}: {self.skipped[arm.name]}", flush=True)
            self.rounds.pop(arm.name, None)
            self.arms.remove(arm)
            arm.stop()
            return None


def allow_files(held: tuple[int, ...]) -> tuple[int, ...]:
    """Let this process and what it starts have as many open files as it may; which of ``held`` that is enough for.

    A gateway has two for each stream.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, max(soft, MOST_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return tuple(count for count in held if 2 * count + 500 <= soft)


def files_to_spare() -> int:
    """How many connections a process may hold beside what it needs itself."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500


def write_results(bench: Bench, out: Path, began: float, load_before: float) -> str:
    """Both files, named for the instant that the run began; the page."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began))
    summary = summarize_arms(bench.rounds)
    result = {
        "began": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        "seconds": round(time.time() - began),
        "machine": f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}",
        "load_before": load_before,
        "rounds": bench.scale.rounds,
        "scale": dataclasses.asdict(bench.scale),
        "arms": bench.rounds,
        "drift": bench.drift,
        "skipped": bench.skipped,
        "remarks": {arm.name: arm.remark for arm in bench.arms if arm.remark},
        "summary": {
            name: {key: dataclasses.asdict(figure) for key, figure in figures.items()}
            for name, figures in summary.items()
        },
        "aims": [
            {"aim": aim.text, "limit": aim.most, "measured": value, "is_met": is_met}
            for aim, value, is_met in judge(summary)
        ],
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"gateway-{stamp}.json").write_text(json.dumps(result, indent=1) + "\n")
    page = render_page(result, summary)
    (out / f"gateway-{stamp}.md").write_text(page)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the short way, to see that it runs")
    parser.add_argument("--arms", help=f"some of {','.join(ARMS)}")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--out", type=Path, default=REPOSITORY / "bench" / "results")
    options = parser.parse_args()
    scale = QUICK if options.quick else Scale()
    if options.rounds is not None:
        scale = dataclasses.replace(scale, rounds=options.rounds)
    scale = dataclasses.replace(scale, held=allow_files(scale.held))
    scale = dataclasses.replace(scale, idle_websockets=min(scale.idle_websockets, files_to_spare()))
    names = options.arms.split(",") if options.arms else list(OWN_ARMS if options.quick else ARMS)
    if unknown := set(names) - set(ARMS):
        parser.error(f"no such arm: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    began, load_before = time.time(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="slipway-bench-") as temporary:
        bench = Bench(scale, names, Path(temporary))
        bench.run()
    print("\n" + write_results(bench, options.out, began, load_before))
    if any(why.startswith("failed") for why in bench.skipped.values()) or "slipway" in bench.skipped:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
