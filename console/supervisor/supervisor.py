"""The supervisor's life: start, watch, stop. One thread, one ``select``, no waiting for anybody.

::

    starting ──► Valkey answers ──► database prepared ──► worker and server ──► /readyz is 200 ──► beat, ready
       │                                                                                                   │
       └───────────────────────────── SIGINT or SIGTERM, or a part that cannot live ───────────────────────┤
                                                                                                           ▼
                   stopping: worker, beat and watcher ──► instances ──► server ──► Valkey ──► nothing left
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from console.environment import Environment
from console.supervisor.layout import STANDBY, is_server, make_part_specs, part_environment, prepare_environment
from console.supervisor.leftovers import PartsRecord
from console.supervisor.parts import Part, rotate
from console.supervisor.preparation import Preparation, PreparationFailed, PreparationRun, is_prepared
from console.supervisor.probe import NOT_ANSWERING, Probe, Readiness
from console.supervisor.report import Journal, complain, render_ready, say
from console.supervisor.valkey import NoValkey, find_redis_problem, is_answering
from deployments.clusters.local.stopping import stop_all

EXIT_FAILED = 1
#: Before the first readiness, a part that ends this often will never live.
MOST_FAILURES_AT_START = 3
OLDEST_HEARTBEAT_SECONDS = 20.0
#: A server that answers nothing for this long hangs.
LONGEST_SILENCE_SECONDS = 30.0
#: The watcher's loop turns about once a second.
LONGEST_STANDSTILL_SECONDS = 60.0
INSTANCE_GRACE_SECONDS = 30.0
ROTATION_SECONDS = 60.0
PROBE_TIMEOUT_SECONDS = 5.0
#: An answer takes a server some milliseconds of work.
READY_LOOK_SECONDS, UNREADY_LOOK_SECONDS = 5.0, 2.0
BEAT_DELAY_SECONDS = 4.0


class CannotStart(Exception):
    """Slipway cannot come up. The text is one sentence; ``details`` are log lines that show why."""

    def __init__(self, sentence: str, details: list[str] | None = None) -> None:
        super().__init__(sentence)
        self.details = details or []


class Stop(Exception):
    """SIGINT, SIGTERM or SIGHUP has come."""


class Supervisor:
    """Runs Slipway on a claimed data folder and a listening socket. Use once: ``run``."""

    def __init__(self, environment: Environment, listener: socket.socket) -> None:
        self._environment = environment
        self._began_at = time.monotonic()
        self._log_folder = environment.data_dir / "log"
        self._log_folder.mkdir(mode=0o700, exist_ok=True)
        self._journal = Journal(self._log_folder / "supervisor.log")
        self._variables = part_environment(environment, os.environ, booted_at=time.time())
        self._parts: dict[str, Part] = {}
        self._record = PartsRecord(environment.data_dir)
        address = (environment.connect_host, *listener.getsockname()[1:])
        self._probe = Probe(address, listener.family, PROBE_TIMEOUT_SECONDS)
        self._listener = listener
        self._readiness: Readiness = NOT_ANSWERING
        self._answered_at = time.monotonic()
        self._next_probe_at = 0.0
        self._next_rotation_at = time.monotonic() + ROTATION_SECONDS
        self._is_up = False
        self._stops_asked = 0
        self._wake_read, self._wake_write = socket.socketpair()

    def run(self) -> int:
        """Live until told to stop. Returns the exit code; when it returns, no process is left."""
        self._catch_signals()
        try:
            self._start()
            while True:
                self._watch()
        except Stop:
            say("\nslipway: stopping (once more to hurry)")
            self._stop()
            say("slipway: stopped")
            return 0
        except (CannotStart, NoValkey, PreparationFailed) as error:
            self._stop()
            complain(str(error))
            for line in getattr(error, "details", []):
                say(f"    {line}")
            return EXIT_FAILED

    # -- signals and waiting

    def _catch_signals(self) -> None:
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake ``select``

    def _on_stop_signal(self, number: int, frame: FrameType | None) -> None:
        self._stops_asked += 1

    def _sleep(self, seconds: float) -> None:
        """Wait for a signal, the probe's answer or the time. Raises ``Stop`` where one was asked for."""
        watched: list[Any] = [self._wake_read]
        if self._probe.connection is not None:
            watched.append(self._probe.connection)
        select.select(watched, [], [], max(0.0, seconds))
        try:
            self._wake_read.recv(4096)
        except BlockingIOError:
            pass

    def _heed_stop(self) -> None:
        if self._stops_asked:
            raise Stop

    # -- start

    def _start(self) -> None:
        for name in self._record.kill_leftovers():
            self._journal.note(f"ended the {name} that an earlier supervisor left behind")
        specs = make_part_specs(self._environment, self._variables, self._log_folder, self._listener.fileno())
        for spec in specs:
            rotate(spec.log)
        self._parts = {spec.name: Part(spec) for spec in specs}
        progress = Progress(self._began_at)
        if "valkey" in self._parts:
            self._start_part("valkey")
            self._wait(lambda: is_answering(self._environment.valkey_socket), lambda: "starting Valkey", progress)
        elif problem := find_redis_problem(self._environment.redis_url):
            raise CannotStart(problem)
        prepared = Preparation()
        if not is_prepared(self._environment):
            prepared = self._prepare(progress)
        # The worker's own first sweep makes Slipway ready, so beat loads when the others no longer need the
        # processor; unless that sweep is late.
        self._start_part("worker")
        if "watcher" in self._parts:
            self._start_part("watcher")
        for server in self._servers:
            self._start_part(server.name)
        beat_due_at = time.monotonic() + BEAT_DELAY_SECONDS
        self._wait(lambda: self._probe_readiness() or time.monotonic() > beat_due_at, self._describe_wait, progress)
        self._start_part("beat")
        self._wait(self._probe_readiness, self._describe_wait, progress)
        self._is_up = True
        for part in self._parts.values():
            part.failures = 0
        if STANDBY in self._parts:
            self._start_part(STANDBY)
        seconds = time.monotonic() - self._began_at
        ready = render_ready(
            self._environment, prepared.new_password, is_first_start=prepared.created_admin, seconds=seconds
        )
        say(ready)

    def _prepare(self, progress: Progress) -> Preparation:
        run = PreparationRun(prepare_environment(self._environment, self._variables))
        try:
            self._wait(lambda: run.process.poll() is not None, lambda: "preparing the database", progress)
        except BaseException:
            run.process.kill()
            run.process.wait()
            raise
        return run.finish()

    def _wait(self, is_done: Callable[[], bool], describe: Callable[[], str], progress: Progress) -> None:
        """Until ``is_done``, keeping the parts alive and the person informed."""
        while not is_done():
            self._heed_stop()
            self._tend_parts()
            progress.tell(describe())
            self._sleep(0.03)

    def _probe_readiness(self) -> bool:
        if not self._readiness.is_ready:
            self._step_probe(pause_seconds=0.1)
        return self._readiness.is_ready

    def _describe_wait(self) -> str:
        return " ".join(self._readiness.reasons.values())

    @property
    def _servers(self) -> list[Part]:
        return [part for name, part in self._parts.items() if is_server(name)]

    def _start_part(self, name: str) -> None:
        part, standby = self._parts[name], self._parts.get(STANDBY)
        loaded = standby.hand_over(part.spec.log) if standby is not None and is_server(name) else None
        if loaded is None:
            self._record.add(name, part.start())
        else:
            self._record.add(name, part.take_over(loaded))
            self._start_part(STANDBY)

    # -- watch

    def _watch(self) -> None:
        self._heed_stop()
        self._tend_parts()
        if self._step_probe(READY_LOOK_SECONDS if self._readiness.is_ready else UNREADY_LOOK_SECONDS):
            self._judge()
        now = time.monotonic()
        if now >= self._next_rotation_at:
            self._next_rotation_at = now + ROTATION_SECONDS
            for part in self._parts.values():
                rotate(part.spec.log)
        self._sleep(min(0.5, self._nearest_restart_seconds()))

    def _nearest_restart_seconds(self) -> float:
        pending = [part.next_start_at for part in self._parts.values() if part.process is None]
        return min(pending, default=float("inf")) - time.monotonic()

    def _tend_parts(self) -> None:
        """Notice parts that have ended and start again those whose pause is over."""
        for part in self._parts.values():
            code = part.reap()
            if code is not None:
                cause = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                if not self._is_up and part.failures >= MOST_FAILURES_AT_START:
                    raise CannotStart(f"The {part.name} cannot start ({cause}). See {part.spec.log}.", part.tail())
                self._journal.note(f"the {part.name} ended ({cause}) and is started again")
            if part.process is None and part.failures and time.monotonic() >= part.next_start_at:
                self._start_part(part.name)

    def _step_probe(self, pause_seconds: float) -> bool:
        """Go on with the question to ``/readyz``. True when an answer, or none in time, is new."""
        now = time.monotonic()
        if self._probe.connection is None:
            if now < self._next_probe_at:
                return False
            self._probe.begin()
        readiness = self._probe.step()
        if readiness is None:
            return False
        self._readiness = readiness
        self._next_probe_at = now + pause_seconds
        if readiness.is_answering:
            self._answered_at = now
        return True

    def _judge(self) -> None:
        """Kill what lives and does not work: it is then started again as anything that ends is."""
        now = time.monotonic()
        worker, beat, servers = self._parts["worker"], self._parts["beat"], self._servers
        age = self._readiness.heartbeat_age_seconds
        others = ("watcher", STANDBY)
        since = max(part.started_at for name, part in self._parts.items() if name not in others and not is_server(name))
        if age is not None and age > OLDEST_HEARTBEAT_SECONDS and now - since > OLDEST_HEARTBEAT_SECONDS:
            self._journal.note(f"no task was done for {age:.0f} s: worker and beat are killed")
            # Both: a beat that hangs publishes nothing, and the worker's heart beats by what beat publishes.
            worker.kill()
            beat.kill()
        if now - max(self._answered_at, *(server.started_at for server in servers)) > LONGEST_SILENCE_SECONDS:
            self._journal.note(f"the server gave no answer for {LONGEST_SILENCE_SECONDS:.0f} s: it is killed")
            for server in servers:
                server.kill()
        watcher = self._parts.get("watcher")
        if watcher is not None and now - watcher.started_at > LONGEST_STANDSTILL_SECONDS:
            age = pulse_age_seconds(self._environment.data_dir / "watcher.pulse")
            if age > LONGEST_STANDSTILL_SECONDS:
                self._journal.note(f"the watcher has stood still for {age:.0f} s: it is killed")
                watcher.kill()

    # -- stop

    def _stop(self) -> None:
        """Take everything down in order. A second signal hurries every step that is left."""
        self._probe.close()
        self._stop_parts("beat", "worker", "watcher", STANDBY)
        self._stop_instances()
        self._stop_parts(*(server.name for server in self._servers))
        self._listener.close()
        self._stop_parts("valkey")
        self._record.clear()

    def _stop_parts(self, *names: str) -> None:
        parts = [self._parts[name] for name in names if name in self._parts]
        for part in parts:
            part.terminate()
        progress = Progress(time.monotonic())
        while pending := [part for part in parts if not part.is_gone()]:
            if self._stops_asked > 1:
                for part in pending:
                    part.kill()
            progress.tell(f"waiting for {' and '.join(part.name for part in pending)} to end")
            self._sleep(0.05)

    def _stop_instances(self) -> None:
        """End the local cluster's instances: in a thread, for it takes their grace period and signals go on."""
        data_dir = self._environment.data_dir
        patient = threading.Thread(target=stop_all, args=(data_dir, INSTANCE_GRACE_SECONDS), daemon=True)
        patient.start()
        progress = Progress(time.monotonic())
        while patient.is_alive():
            if self._stops_asked > 1:
                stop_all(data_dir, 0.0)
                return
            progress.tell("waiting for the services' instances to end")
            self._sleep(0.05)


def pulse_age_seconds(path: Path) -> float:
    """How long ago a part last touched its file (``deployments.pulse``); for ever where there is none."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


class Progress:
    """Tells a person what is being waited for, once a wait has lasted a second, when it changes or lasts."""

    def __init__(self, began_at: float) -> None:
        self._next_at = began_at + 1.0
        self._last = ""
        self._last_at = 0.0

    def tell(self, text: str) -> None:
        """Called as often as one likes."""
        now = time.monotonic()
        if now < self._next_at or not text or (text == self._last and now - self._last_at < 5.0):
            return
        say(f"slipway: {text}")
        self._last, self._last_at, self._next_at = text, now, now + 1.0
