"""The cluster interface: what a service wants goes in, what is there comes out.

A backend is the only place that knows how instances run (operating-system processes, Kubernetes pods).
It holds no opinion about a service's status: what an observation *means* is decided once, in
``deployments.assess``, for every backend. A backend keeps no state in memory that matters: any process
may build one, use it, and be killed.

Every verb is idempotent, returns at once (a rollout is observed, not awaited) and raises ``ClusterError``
for anything the backend could not do; a vendor's own exceptions never leave a backend.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from deployments.clusters.overview import ClusterOverview
from deployments.clusters.preview import Check, Preview
from deployments.spec import ServiceSpec
from deployments.stages import Stage


class ClusterError(Exception):
    """The backend could not do it. ``code`` is stable; the text is a sentence with the cure.

    One that ``needs_person`` comes back with every try until somebody changes the service or the cluster.
    """

    def __init__(self, code: str, message: str, cure: str = "", *, needs_person: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.cure = cure
        self.needs_person = needs_person


@dataclass(frozen=True, slots=True)
class Workload:
    """What one service wants of the cluster now.

    ``ready`` names the instances that reconcile has seen answer (a token, a health check, an open port): a
    rolling update may retire an old instance only when a new one is among them. Backends whose platform
    judges readiness itself may ignore it.
    """

    service_uid: str
    service_name: str
    revision: int
    spec: ServiceSpec
    instances: int
    #: Changes when an operator asks for a restart: instances of another token are replaced, one after another.
    restart_token: str = ""
    ready: frozenset[str] = frozenset()


class InstancePhase(enum.StrEnum):
    """How far one instance is, in the words every backend shares (EAS's instance states, eas.md §4.3)."""

    PENDING = "Pending"  # wanted, nothing started yet
    CREATING = "Creating"  # being prepared: image, mounts, requirements
    RUNNING = "Running"  # the program runs (whether it answers is reconcile's verdict)
    BACKOFF = "BackOff"  # the program exited and will be started again at ``retry_at``
    FAILED = "Failed"  # the program exited and will not be started again
    STOPPING = "Stopping"  # draining, or asked to end


@dataclass(frozen=True, slots=True)
class ProgramExit:
    """The last end of an instance's program."""

    exit_code: int  # negative: killed by that signal, as in subprocess
    reason: str  # "Completed" | "Error" | "OOMKilled" | "StartError" (never began; ``message`` says why)
    message: str
    started_at: datetime | None
    finished_at: datetime
    #: What the backend itself knows of the cause, "" where the log has to tell: a code of ``failures.CAUSES``
    #: with its values (``used_mib``, ``limit_mib``, ``program``, ``source``, ``mount_path``).
    cause: str = ""
    values: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why an instance does not get on before its program could run, or why a service gets no instance at all.

    ``cause`` is a code of ``failures.CAUSES`` and ``values`` are what its sentences need. One that ``is_waiting`` ends
    by itself once something is free or comes back; any other needs a person.
    """

    cause: str
    values: Mapping[str, str | int] = field(default_factory=dict)
    since: datetime | None = None
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon reconcile looks again by itself, in seconds: often where only looking shows a change."""

    moving_seconds: float | None = 0.2  # in motion: a person watches. None: the backend says when something changed
    probing_seconds: float = 0.2  # a program runs, and has not answered yet
    running_seconds: float = 3.0
    failed_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class InstanceObservation:
    """One instance as the backend sees it now."""

    name: str  # unique in the cluster, valid as a DNS label
    revision: int
    phase: InstancePhase
    restart_token: str = ""
    host: str = ""  # address the gateway may reach it at; "" until known
    port: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None  # of the program that runs now
    restart_count: int = 0  # starts after the first, failed ones too
    last_exit: ProgramExit | None = None
    retry_at: datetime | None = None
    log_tail: tuple[str, ...] = ()  # last lines, only after a failure (at most 20)
    #: Mounted folders as (path on the node, as the document names it): a log has the first, people know the second.
    folders: tuple[tuple[str, str], ...] = ()
    #: The platform's own verdict on the instance's checks; None where it has none, and Slipway asks by itself.
    is_ready: bool | None = None
    #: How long the platform's own startup check lets the program take; 0 where it has none.
    startup_seconds: float = 0.0
    #: Where HTTP reaches it, without a slash at the end, where that is not ``http://host:port``.
    base_url: str = ""
    #: The same for Slipway's own question whether it answers, where ``base_url`` may lead to a neighbour.
    probe_url: str = ""
    node: str = ""
    gpus: int = 0
    #: How far the platform is before the program runs (image, weights), and its sentence; NONE where it cannot tell.
    stage: Stage = Stage.NONE
    step: str = ""
    trouble: Trouble | None = None


@dataclass(frozen=True, slots=True)
class ServiceObservation:
    """Everything of one service that the cluster holds. ``instances`` is sorted by name."""

    service_uid: str
    instances: tuple[InstanceObservation, ...] = ()
    #: Something of the service other than live instances is still there (folders, objects).
    leftovers: bool = False
    #: Of the service as a whole: no instance can be made, or an update cannot go on.
    trouble: Trouble | None = None
    #: How many instances the platform wants by itself, where the document lets it choose.
    scaled_to: int | None = None


def log_name(instance: str, container: str = "") -> str:
    """What a log is asked for by: an instance's own, or that of a container beside its main one."""
    return f"{instance}/{container}" if container else instance


def instance_of(log: str) -> str:
    """The instance that a log is of, by its ``log_name``."""
    return log.partition("/")[0]


@dataclass(frozen=True, slots=True)
class LogQuery:
    """A page of one log: ``instance`` is its ``log_name``.

    Lines are numbered from 0 over the log's whole life: a line keeps its number when older ones are removed.
    """

    instance: str
    first_line: int | None = None  # None: the last ``limit`` lines
    limit: int = 1000  # 0: no line, only which there are
    keyword: str = ""  # only lines containing it, without regard to case
    previous: bool = False  # only the program before the last restart; otherwise all that is kept
    most_characters: int | None = None  # a page ends sooner where its lines are long; it has one line at least


@dataclass(frozen=True, slots=True)
class LogPage:
    """``lines`` as (number, text) in order; ``next_line`` continues a tail; ``total`` counts matching lines.

    Each text begins with the time it was written, ISO 8601 in UTC, and a space; a search ignores the time.
    The lines that are kept are ``begin`` to ``end``, without ``end``, whatever the page holds of them.
    """

    lines: tuple[tuple[int, str], ...]
    next_line: int
    total: int
    begin: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class LogMatches:
    """Where a keyword is found: ``total`` lines, and the numbers of those around the line that was asked from.

    ``numbers`` are in order, and ``before`` matches come before the first of them.
    """

    total: int = 0
    before: int = 0
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a cluster cannot run a spec at all, known before anything is created.

    ``field`` is the document's path that has to change, "" where it is the document as a whole.
    """

    code: str
    message: str
    cure: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one node offers; a laptop is a cluster of one node. Memory in MiB."""

    node: str
    cpu_cores: float
    memory_mib: int
    gpus: int = 0
    gpu_product: str = ""
    gpu_memory_gib: float = 0.0
    images: tuple[str, ...] = field(default_factory=tuple)  # engines that can run here: "chat-llm", "vllm", …
    absent: Mapping[str, Refusal] = field(default_factory=dict)  # engines that cannot, with the cure
    downloads: bool = False  # instances here fetch open-source weights from a hub by themselves
    reserves: bool = False  # what an instance asks for is set aside for it, used or not


class Cluster(Protocol):
    """Six verbs and a few questions. Safe to call from any thread and any process, concurrently."""

    @property
    def pace(self) -> Pace:
        """How often a service here has to be looked at."""

    @property
    def judges_readiness(self) -> bool:
        """Whether its platform itself says when an instance may take another's place: it ignores ``Workload.ready``."""

    @property
    def autoscales(self) -> bool:
        """Whether it chooses the number of instances itself where a document has an autoscaler that works here."""

    def apply(self, workload: Workload) -> ServiceObservation:
        """Make it so, one step: start what is missing, retire what is too much or outdated. Returns what is there then.

        Called again and again until the observation agrees. The same workload twice does nothing the second
        time. A rolling update goes in steps: new instances start (within ``rolling_strategy``), and old ones
        are retired as new names appear in ``workload.ready``. A retired instance is STOPPING at once in the
        next observation, gets SIGTERM a second later (gateways drop it from routing in between), and is
        killed after the spec's termination grace period.
        """

    def observe(self, service_uid: str) -> ServiceObservation:
        """What is there now. An unknown service is an empty observation, never an error."""

    def stop(self, service_uid: str) -> None:
        """Retire every instance, with the grace of its own start, and keep the rest. Needs no spec."""

    def restart_instance(self, service_uid: str, instance: str) -> None:
        """Retire one instance as ``apply`` does; the next ``apply`` starts another in its place. Absent is success."""

    def delete(self, service_uid: str) -> None:
        """Retire every instance and remove all that the service owns. Absent is success.

        Returns before it is gone: the observation is empty, ``leftovers`` False, when it is.
        """

    def read_log(self, service_uid: str, query: LogQuery) -> LogPage:
        """A page of an instance's log, also of one that has ended. Unknown instance: an empty page."""

    def search_log(self, service_uid: str, query: LogQuery) -> LogMatches:
        """All lines with ``query.keyword``: how many, and the numbers of the ``limit`` nearest to ``first_line`` on
        either side (None: the log's end). Escape sequences do not count as text.
        """

    def list_logs(self, service_uid: str) -> tuple[str, ...]:
        """The ``log_name`` of each log that is kept: the newest instance first, and its own log before those of the
        containers beside the main one.
        """

    def refuse(self, spec: ServiceSpec) -> Refusal | None:
        """Why this cluster can never run ``spec`` (unknown mount source, engine not there), or None."""

    def capacity(self) -> tuple[Capacity, ...]:
        """The nodes. Used for recommendations and the form's "fits here"."""

    def preview(self, workload: Workload) -> Preview:
        """What ``apply`` would write, beside what is there, and whether it would run now. Changes nothing, and asks
        nobody over a network. ``service_uid`` may be of a service that does not exist yet.
        """

    def check_access(self, spec: ServiceSpec) -> tuple[Check, ...]:
        """Whether what ``spec`` needs from elsewhere can be reached from here, within seconds: one answer for each OSS
        path and each image pull secret.
        """

    def overview(self) -> ClusterOverview:
        """The cluster as a whole, as it was last seen. Asks nobody over a network, and never raises for its state."""

    def heard_at(self) -> datetime | None:
        """When the platform last told of all services by itself, so that one nobody had to look at is not silent; None
        where only looking tells.
        """

    def orphans(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """Service uids this Slipway owns in the cluster that are not in ``wanted``."""
