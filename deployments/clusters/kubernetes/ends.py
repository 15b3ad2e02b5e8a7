"""How a container's program ended: the kubelet's report as a ``ProgramExit``, with the cause if it is known. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from deployments.clusters.base import ProgramExit
from deployments.clusters.kubernetes.quantities import mib
from deployments.clusters.kubernetes.reading import Json, field_path, happened_at, moment, state_of

#: Exit codes of a shell or a container runtime for "killed by signal 1 to 64" (POSIX: 128 and the signal's number).
KILLED_FROM, KILLED_TO = 129, 192
#: Of the program that never began, by the container runtime.
NEVER_BEGAN = ("StartError", "ContainerCannotRun")
TAIL_LINES = 20
#: An event's time and an end's are rounded to the second.
ABOUT_THEN = timedelta(seconds=2)

Values = Mapping[str, str | int]


def last_exit_of(container: Json, status: Json, own: Sequence[Json]) -> ProgramExit | None:
    """The last end of a container's program: of the one that is over now, else of the one before."""
    for which in ("state", "lastState"):
        kind, details = state_of(status, which)
        finished_at = moment(details.get("finishedAt"))
        if kind == "terminated" and finished_at is not None:
            end = exit_of(container, details, finished_at, own)
            return replace(end, cause="", values={}) if is_past(status, end) else end
    return None


def is_past(status: Json, end: ProgramExit) -> bool:
    """Whether the program that runs now has passed the startup check that ended the one before."""
    return bool(status.get("started")) and end.cause == "ProbeFails" and end.values.get("kind") == "startup"


def exit_of(container: Json, details: Json, finished_at: datetime, own: Sequence[Json]) -> ProgramExit:
    code, reason = int(details.get("exitCode") or 0), str(details.get("reason") or "Error")
    never_began = reason in NEVER_BEGAN
    if int(details.get("signal") or 0):
        code = -int(details["signal"])
    elif KILLED_FROM <= code <= KILLED_TO and not never_began:
        code = 128 - code
    message = str(details.get("message") or "")
    started_at = None if never_began else moment(details.get("startedAt"))
    if never_began:
        cause, values = cause_of_no_start(message)
    elif reason == "OOMKilled":
        cause, values = "OutOfMemory", memory_limit(container)
    else:
        cause, values = cause_of_probes(container, started_at, finished_at, own)
    told = "StartError" if never_began else reason
    # Of a program that did begin the message is the end of its log, which is for those who may read logs.
    return ProgramExit(code, told, message if never_began else "", started_at, finished_at, cause, values)


def last_words_of(status: Json) -> tuple[str, ...]:
    """The end of the log of a container's last program, as the kubelet keeps it with ``FallbackToLogsOnError``."""
    for which in ("state", "lastState"):
        kind, details = state_of(status, which)
        if kind == "terminated" and details.get("reason") not in NEVER_BEGAN:
            return tuple(str(details.get("message") or "").splitlines()[-TAIL_LINES:])
    return ()


def memory_limit(container: Json) -> Values:
    limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
    return {"limit_mib": mib(limit)} if limit else {}


def cause_of_no_start(message: str) -> tuple[str, Values]:
    """What the container runtime says where the program could not even begin."""
    program = re.search(r'exec: "([^"]+)"|exec ([^\s:]+): ', message)
    name = next((part for part in program.groups() if part), "") if program else ""
    if re.search(r"no such file or directory|executable file not found", message):
        return "ProgramMissing", {"program": name}
    if "permission denied" in message or "exec format error" in message:
        return "NotExecutable", {"program": name}
    return "ContainerNotCreated", {"reason": message.rsplit(": ", 1)[-1][:160]}


def cause_of_probes(
    container: Json, started_at: datetime | None, finished_at: datetime, own: Sequence[Json]
) -> tuple[str, Values]:
    """Whether the kubelet ended the program because a check failed, and what that check was answered."""
    here = [event for event in own if field_path(event).endswith(f"{{{container['name']}}}")]
    for event in reversed(here):
        killed = re.search(r"failed (startup|liveness) probe", str(event.get("message") or ""))
        last = happened_at(event)
        if event.get("reason") != "Killing" or killed is None or last is None:
            continue
        # Repeated events are one with its first and its last time, and the last may be of an end after this one.
        first = moment(event.get("firstTimestamp")) or last
        if first <= finished_at + ABOUT_THEN and last >= (started_at or last) - ABOUT_THEN:
            return "ProbeFails", {"kind": killed[1], **answer_of(container, killed[1], here)}
    return "", {}


def answer_of(container: Json, kind: str, here: Sequence[Json]) -> Values:
    """The path or port that was asked, and a status, ``refused`` or ``silent``."""
    probe = container.get(f"{kind}Probe") or {}
    http, tcp = probe.get("httpGet") or {}, probe.get("tcpSocket") or {}
    values = {"path": str(http.get("path") or ""), "port": str(http.get("port") or tcp.get("port") or "")}
    said = [
        str(event.get("message") or "")
        for event in here
        if event.get("reason") == "Unhealthy" and str(event.get("message") or "").startswith(kind.capitalize())
    ]
    status = re.search(r"statuscode: (\d+)", said[-1]) if said else None
    if status:
        return {**values, "status": status[1]}
    return {**values, "answer": "refused" if said and "connection refused" in said[-1] else "silent"}
