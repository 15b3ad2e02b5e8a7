"""What a shim does all its life: keep one program running, within its limits, until asked to end.

One thread and one loop. Phases on disk: Creating → Running → (BackOff → Running)* → Stopping → Ended, or
Failed in place of BackOff where the document asks for no restarts (``runtime.enable_crash_block``).
Standard library only: every shim loads this.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time

from deployments.clusters.local import folder as files
from deployments.clusters.local.folder import Cause, Exit, Launch, State, Stop
from deployments.clusters.local.log_writer import LogWriter
from deployments.clusters.local.ports import NoPort, claim, is_free
from deployments.clusters.local.processes import (
    MemoryWatch,
    boot_id,
    descendants,
    find_process,
    kill_all,
    process_table,
    send,
)
from deployments.clusters.local.program import NotStarted, Program, start_program

LONGEST_DELAY_SECONDS = 60.0
STEADY_SECONDS = 60.0  # a program that ran so long starts the delays anew
LOOK_SECONDS = 0.5  # between looks at the memory; the longest wait in the loop is twice that
MIB = 1024 * 1024
NO_CAUSE = Cause("", {})  # the log has to tell


class Keeper:
    """One instance. ``run`` returns when the instance has ended or was interrupted."""

    def __init__(self, folder: str, launch: Launch, earlier: State) -> None:
        me = find_process(os.getpid())
        self.folder = folder
        self.launch = launch
        self.state: State = {
            **earlier,
            "boot_id": boot_id(),
            "shim_pid": os.getpid(),
            "shim_start": me.start if me else "",
            "program_pid": 0,
            "program_start": "",
            "port": earlier.get("port", 0),
            "run": earlier.get("run", -1),
            "restart_count": earlier.get("restart_count", 0),
            "delay_seconds": earlier.get("delay_seconds", 0.0),
            "retry_at": earlier.get("retry_at"),
            "last_exit": earlier.get("last_exit"),
        }
        self.log = LogWriter(os.path.join(folder, files.LOG))
        self.program: Program | None = None
        self.is_output_open = False
        self.memory = MemoryWatch(os.getpid())
        self.next_look = 0.0
        self.over_limit = ""
        self.used_mib = 0
        self.stop: Stop | None = None
        self.drain_until = self.kill_at = 0.0
        self.signalled = self.interrupted = False
        self.port_claim = -1
        self.wakeups = -1

    def run(self) -> None:
        """Keep the program until asked to end; the folder's lock is held all the time by the caller."""
        self.listen_for_signals()
        self.recall()
        while not self.has_ended():
            self.wait()
            self.collect()
        kill_all(self.below)
        self.read_output()
        self.log.finish_run()
        self.leave()

    # Beginning and end

    def listen_for_signals(self) -> None:
        self.wakeups, write_end = os.pipe()
        for descriptor in (self.wakeups, write_end):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.interrupt)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def interrupt(self, *_: object) -> None:
        self.interrupted = True

    def recall(self) -> None:
        """Continue where an earlier shim of this folder was cut off."""
        phase = self.state.get("phase", "")
        if self.state.get("started_at") is not None:
            message = "The program was killed with its shim. It is started again."
            self.state["last_exit"] = self.ended(-signal.SIGKILL, "Error", message)
            self.state["started_at"] = None
        if phase == "Failed":
            self.save()  # asked not to restart: only waits for its end
        else:
            self.save(phase="BackOff" if phase == "BackOff" else "Creating")

    def leave(self) -> None:
        """The last word: Ended, or, when only the machine wants us gone, what the next shim goes on from."""
        self.state.update(files.NOTHING_RUNS)
        if self.stop is None:
            self.save(phase="Failed" if self.state.get("phase") == "Failed" else "Creating")
            return
        import shutil  # here: it is slow to import, and a program waits for its shim to begin

        for name in (files.WORK, files.TEMP, files.VOLUMES):
            shutil.rmtree(os.path.join(self.folder, name), ignore_errors=True)
        self.save(phase=files.ENDED)

    def save(self, phase: str = "") -> None:
        if phase:
            self.state["phase"] = phase
        # A full disk must not end a running program; the next change tries again.
        with contextlib.suppress(OSError):
            files.write_json(os.path.join(self.folder, files.STATE), self.state)

    # One turn of the loop

    def has_ended(self) -> bool:
        """Take the next step; True when nothing is left to keep."""
        self.look_for_stop()
        if self.stop is not None or self.interrupted:
            return self.advance_stop()
        if self.program is not None:
            self.look_at_memory()
        elif self.state["phase"] != "Failed" and time.time() >= (self.state.get("retry_at") or 0):
            self.start()
        return False

    def wait(self) -> None:
        """Until output, a signal, a child's end, or the time of the next step."""
        seconds = 2 * LOOK_SECONDS
        if self.program is not None and self.launch["memory_mib"] is not None:
            seconds = LOOK_SECONDS
        retry_at = self.state.get("retry_at")
        if self.program is None and retry_at is not None:
            seconds = min(seconds, max(retry_at - time.time(), 0.01))
        if self.stop is not None or self.interrupted:
            until = self.kill_at if self.signalled else self.drain_until
            seconds = min(LOOK_SECONDS, max(until - time.monotonic(), 0.001))
        poll = select.poll()
        poll.register(self.wakeups, select.POLLIN)
        if self.program is not None and self.is_output_open:
            poll.register(self.program.output, select.POLLIN)
        for descriptor, _ in poll.poll(seconds * 1000):
            if descriptor == self.wakeups:
                os.read(self.wakeups, 4096)
            else:
                self.read_output()

    def read_output(self) -> bool:
        """Move what the program wrote to the log, a few blocks a turn; True when there may be more."""
        for _ in range(16 if self.program is not None and self.is_output_open else 0):
            assert self.program is not None
            try:
                data = os.read(self.program.output, 65536)
            except BlockingIOError:
                return False
            if not data:
                self.is_output_open = False  # the program lives on, but nobody can write any more
                return False
            self.log.feed(data)
        return self.program is not None and self.is_output_open

    def collect(self) -> None:
        """Reap every child; the program's own end is an event."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self.program is not None and pid == self.program.pid:
                self.program_ended(os.waitstatus_to_exitcode(status))

    # Starting

    def start(self) -> None:
        self.over_limit = ""
        self.state["run"] += 1
        self.state.update({"retry_at": None, "restart_count": self.state["run"]})
        self.log.start_run(self.state["run"])
        try:
            self.claim_port()
            self.program = start_program(self.launch, self.folder, self.state["port"])
        except (NoPort, NotStarted, OSError) as problem:
            self.not_started(problem)
            return
        self.is_output_open = True
        self.state.update({"program_pid": self.program.pid, "program_start": self.program.start})
        self.state["started_at"] = time.time()
        self.save(phase="Running")

    def not_started(self, problem: NoPort | NotStarted | OSError) -> None:
        """The program never began: say why, with what only the log may name."""
        if isinstance(problem, NotStarted):
            cause = problem.cause
        elif isinstance(problem, NoPort):
            cause = Cause("PortsExhausted", {})
        else:
            cause = Cause("NotPrepared", {"reason": problem.strerror or "the system gave no reason"})
        if evidence := getattr(problem, "evidence", "") or (str(problem) if isinstance(problem, OSError) else ""):
            self.note(evidence)
            self.log.finish_run()
        self.state["started_at"] = None
        said = (
            f"The instance could not be prepared: {cause.values['reason']}."
            if isinstance(problem, OSError)
            else str(problem)
        )
        self.after_end(self.ended(127, "StartError", said, cause), ran_seconds=0.0)

    def note(self, said: str) -> None:
        """A line of our own in the program's log."""
        self.log.feed(f"\nslipway: {said}\n".encode() if self.log.pending else f"slipway: {said}\n".encode())

    def claim_port(self) -> None:
        """Keep the port of earlier programs, unless a stranger took it while none of them ran."""
        if self.port_claim >= 0 and is_free(self.state["port"]):
            return
        if self.port_claim >= 0:
            os.close(self.port_claim)
            self.port_claim = -1
        self.state["port"], self.port_claim = claim(self.launch["ports_folder"], self.state["port"])

    # Ending

    def program_ended(self, code: int) -> None:
        """The program's own process is gone; what it left behind is killed unless all are just leaving."""
        started_at = self.state.get("started_at") or time.time()
        ran_seconds = time.time() - started_at
        if not self.signalled:
            kill_all(self.below)
        while self.read_output():
            pass
        assert self.program is not None
        if self.signalled and self.below():
            # Children of a shell still leave in their own time; their output goes on being read.
            self.state["program_pid"] = 0
            return
        os.close(self.program.output)
        self.program = None
        if self.over_limit:
            self.note(f"killed at {self.used_mib:,} MiB of memory; the limit is {self.launch['memory_mib']:,} MiB")
        self.log.finish_run()
        reason = "OOMKilled" if self.over_limit else "Error" if code else "Completed"
        cause = NO_CAUSE
        if self.over_limit:
            cause = Cause("OutOfMemory", {"used_mib": self.used_mib, "limit_mib": self.launch["memory_mib"] or 0})
        self.state.update({"program_pid": 0, "program_start": ""})
        said = self.over_limit or describe(code, ran_seconds)
        self.after_end(self.ended(code, reason, said, cause), ran_seconds)

    def ended(self, code: int, reason: str, message: str, cause: Cause = NO_CAUSE) -> Exit:
        return Exit(
            exit_code=code,
            reason=reason,
            message=message,
            started_at=self.state.get("started_at"),
            finished_at=time.time(),
            log_tail=list(self.log.tail),
            cause=cause.code,
            values=cause.values,
        )

    def after_end(self, how: Exit, ran_seconds: float) -> None:
        """Again after a while, or never."""
        self.state.update({"last_exit": how, "started_at": None})
        if self.stop is not None or self.interrupted:
            return
        if self.launch["crash_block"]:
            self.save(phase="Failed")
            return
        earlier = 0.0 if ran_seconds >= STEADY_SECONDS else self.state["delay_seconds"]
        self.state["delay_seconds"] = min(max(earlier * 2, 1.0), LONGEST_DELAY_SECONDS)
        self.state["retry_at"] = time.time() + self.state["delay_seconds"]
        self.save(phase="BackOff")

    def look_at_memory(self) -> None:
        limit_mib = self.launch["memory_mib"]
        if limit_mib is None or self.over_limit or time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + LOOK_SECONDS
        used = self.memory.resident_bytes(limit_mib * MIB)
        if used > limit_mib * MIB:
            self.used_mib = used // MIB
            self.over_limit = (
                f"The instance used {used // MIB:,} MiB of memory, its limit is {limit_mib:,} MiB. "
                "Raise the memory of the service, or let the program use less."
            )
            kill_all(self.below)

    def look_for_stop(self) -> None:
        """A wish to end counts whether or not the signal that announces it arrives."""
        if not files.is_stopping(self.folder):
            return
        wish = files.find_stop(self.folder)
        if wish is None or wish == self.stop:
            return
        now = time.monotonic()
        drain_until = now + wish["drain_seconds"]
        self.drain_until = min(self.drain_until, drain_until) if self.stop else drain_until
        self.kill_at = min(self.kill_at or float("inf"), max(self.drain_until, now) + wish["grace_seconds"])
        if self.stop is None:
            self.save(phase="Stopping")
        self.stop = wish

    def advance_stop(self) -> bool:
        """Drain, ask, then kill; True when everything is gone."""
        now = time.monotonic()
        if self.program is None:
            return True
        if self.stop is None and not self.kill_at:  # the machine goes down
            self.kill_at = now + self.launch["grace_seconds"]
        if now < self.drain_until:
            return False
        below = self.below()
        if not self.signalled:
            # Not the group alone: who left it is asked as well, and has the same time to leave.
            self.signalled = True
            send(below, signal.SIGTERM)
            return False
        return not below or now >= self.kill_at

    def below(self) -> list[int]:
        """Every descendant that lives, after reaping orphans; the program's own status is left for ``collect``."""
        rows = descendants([os.getpid()], process_table())
        program_pid = self.program.pid if self.program else 0
        for row in rows:
            if row.is_zombie and row.parent == os.getpid() and row.pid != program_pid:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(row.pid, os.WNOHANG)
        return [row.pid for row in rows if not row.is_zombie]


def describe(code: int, ran_seconds: float) -> str:
    """The end of a program as a sentence."""
    after = f"after {ran_seconds:.1f} s" if ran_seconds < 100 else f"after {ran_seconds:.0f} s"
    if code == 0:
        return f"The program ended by itself {after}, without an error. A service's program must keep running."
    if code == -signal.SIGKILL:
        return f"The program was killed {after}, by someone else or by a system that ran out of memory."
    if code < 0:
        return f"The program was ended by {signal.Signals(-code).name} {after}."
    if code == 127:
        return f"A command of the script was not found (exit code 127, {after}). The log names it."
    return f"The program ended with exit code {code} {after}. The log's last lines usually say why."
