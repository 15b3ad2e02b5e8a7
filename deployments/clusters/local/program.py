"""Starts one program: own session, clean environment, output into a pipe, gone when its shim is gone.

Standard library only: every shim loads this.
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import signal
import sys
from typing import NamedTuple, NoReturn

from deployments.clusters.local.folder import TEMP, WORK, Cause, Launch
from deployments.clusters.local.processes import find_process

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
PORT_WORDS = ("${LISTENING_PORT}", "$LISTENING_PORT", "${PORT}", "$PORT")


class NotStarted(Exception):
    """The program never began; the text says why and what to do.

    The text is shown to everybody who may see the service, so it names no path of this machine that the document
    does not name; ``evidence`` does, for the log.
    """

    def __init__(self, text: str, cause: Cause, evidence: str = "") -> None:
        super().__init__(text)
        self.cause = cause
        self.evidence = evidence


class Program(NamedTuple):
    """A program that runs. Its id is its process group's and session's, too."""

    pid: int
    start: str
    output: int  # descriptor of the pipe, not blocking


def become_subreaper() -> None:
    """Let orphans among the descendants become children of this process (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start_program(launch: Launch, folder: str, port: int) -> Program:
    """Start it and return once it has been executed. Raises ``NotStarted``."""
    for required in launch["folders"]:
        if not os.path.isdir(required["path"]):
            source, mount_path = required["source"], required["mount_path"]
            raise NotStarted(
                f"{source} is mounted at {mount_path}, but there is no such folder. Create it, or correct the mount.",
                Cause("FolderMissing", {"source": source, "mount_path": mount_path}),
                f"{required['path']} does not exist.",
            )
    try:
        for name in (WORK, TEMP):
            os.makedirs(os.path.join(folder, name), mode=0o700, exist_ok=True)
        output, program_end = os.pipe()
        failure, failure_end = os.pipe()  # closed by a successful exec, as every descriptor of Python's
    except OSError as problem:
        reason = problem.strerror or "the system gave no reason"
        raise NotStarted(
            f"The instance could not be prepared: {reason}.", Cause("NotPrepared", {"reason": reason})
        ) from None
    argv, environment = for_port(launch, port)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        run_child(launch, argv, environment, os.path.join(folder, WORK), parent, program_end, failure_end)
    os.close(program_end)
    os.close(failure_end)
    with os.fdopen(failure, "rb") as report:
        said = report.read().decode()
    if said:
        os.close(output)
        os.waitpid(pid, 0)
        raise explain(argv[0], said)
    os.set_blocking(output, False)
    row = find_process(pid)
    return Program(pid, row.start if row else "", output)


def for_port(launch: Launch, port: int) -> tuple[list[str], dict[str, str]]:
    """The arguments and the environment with the instance's port in them."""
    begin = launch["port_from"]
    argv = launch["argv"][:begin] + [with_port(text, port) for text in launch["argv"][begin:]]
    return argv, launch["env"] | {"PORT": str(port), "LISTENING_PORT": str(port)}


def with_port(text: str, port: int) -> str:
    """``$PORT`` in an argument that no shell sees; ``$PORTAL`` is another variable's name."""
    for word in PORT_WORDS:
        begin = 0
        while (begin := text.find(word, begin)) >= 0:
            after = text[begin + len(word) : begin + len(word) + 1]
            if word.endswith("}") or not (after.isalnum() or after == "_"):
                text = text[:begin] + str(port) + text[begin + len(word) :]
            else:
                begin += len(word)
    return text


def run_child(
    launch: Launch,
    argv: list[str],
    environment: dict[str, str],
    work: str,
    parent: int,
    program_end: int,
    failure_end: int,
) -> NoReturn:
    """Between fork and exec. Never returns, whatever happens."""
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # the shim died before the line above
                os._exit(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(program_end, 1)
        os.dup2(program_end, 2)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        limit_cores(launch["cpu_cores"], int(environment["PORT"]))
        os.chdir(work)
        os.execvpe(argv[0], argv, environment)  # noqa: S606 - running it is what all this is for
    except OSError as problem:
        os.write(failure_end, str(problem.errno).encode())
    finally:
        os._exit(127)


def limit_cores(cpu_cores: float | None, port: int) -> None:
    """Hold the program to whole cores where the machine has more; which ones differs from port to port."""
    if cpu_cores is None or not hasattr(os, "sched_setaffinity"):
        return
    present = sorted(os.sched_getaffinity(0))
    count = max(math.ceil(cpu_cores), 1)
    if count < len(present):
        first = port * count % len(present)
        os.sched_setaffinity(0, {present[(first + step) % len(present)] for step in range(count)})


def explain(program: str, code: str) -> NotStarted:
    """Why the system would not execute it. The whole path is evidence; people know a program by its name."""
    number = int(code) if code.isdigit() else 0
    name = os.path.basename(program) or program
    values: dict[str, str | int] = {"program": name}
    evidence = f"{program}: {os.strerror(number)}"
    if number in (errno.ENOENT, errno.ENOTDIR):
        text = f"The program {name} was not found. Correct the command, or install the program."
        return NotStarted(text, Cause("ProgramMissing", values), evidence)
    if number in (errno.EACCES, errno.ENOEXEC):
        text = f"The program {name} cannot be executed. Make it executable, or correct the command."
        return NotStarted(text, Cause("NotExecutable", values), evidence)
    if number == errno.E2BIG:
        text = "The command and the environment are too long for this system. Shorten them."
        return NotStarted(text, Cause("CommandTooLong", {}), evidence)
    reason = os.strerror(number)
    return NotStarted(
        f"The program {name} could not be started: {reason}.",
        Cause("NotPrepared", {"reason": reason}),
        evidence,
    )
