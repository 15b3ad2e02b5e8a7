"""``LocalCluster``: instances as processes of this machine. Carries out plans; decides nothing itself.

Folders: ``<data>/instances/<service uid>/<instance name>/`` (``folder`` says what is in one). One lock per
service, ``<service uid>/lock``, makes ``apply`` and ``delete`` of several processes take turns.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deployments.clusters.base import (
    Capacity,
    ClusterError,
    LogMatches,
    LogPage,
    LogQuery,
    Pace,
    Refusal,
    ServiceObservation,
    Workload,
)
from deployments.clusters.local import folder as files
from deployments.clusters.local.capacity import machine_capacity
from deployments.clusters.local.launch import Place, render_launch
from deployments.clusters.local.log_reader import find_matches, read_page
from deployments.clusters.local.machine import machine_overview
from deployments.clusters.local.model_folder import find_model_folder
from deployments.clusters.local.observing import Seen, look, observe_instance
from deployments.clusters.local.plan import Existing, Plan, Wanted, plan_step
from deployments.clusters.local.ports import NoPort
from deployments.clusters.local.preview import check_folders, preview_process
from deployments.clusters.local.refusals import CommandsPolicy, find_refusal
from deployments.clusters.local.stopping import INSTANCES, bury, instance_folders, retire
from deployments.clusters.log_pages import EMPTY
from deployments.clusters.overview import ClusterOverview
from deployments.clusters.preview import Check, Preview
from deployments.spec import ServiceSpec

logger = logging.getLogger(__name__)
SHIM = Path(__file__).with_name("shim.py")
SHIM_LOCKED = 3  # shim.LOCKED: another shim was faster, which is as good
SHIM_START_SECONDS = 30.0
SERVICE_LOCK_SECONDS = 30.0
MOST_STARTS = 20  # in one ``apply``; the next goes on
DRAIN_SECONDS = 1.0  # gateways drop a STOPPING instance within this time (design.md)
KEPT_ENDED, KEPT_SECONDS = 10, 7 * 24 * 3600.0
UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
INSTANCE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


class LocalCluster:
    """The local backend. Holds no state but its settings: any number of them may work on one data directory."""

    pace = Pace()

    def __init__(
        self,
        data_dir: Path,
        *,
        commands_policy: CommandsPolicy = "any",
        is_recipe: Callable[[Mapping[str, Any], tuple[str, ...]], bool] = lambda container, writable: False,
        base_environment: Mapping[str, str] | None = None,
        capacity: Callable[[], Capacity] = machine_capacity,
    ) -> None:
        """``base_environment`` (this process's by default) is where PATH and the like are taken from."""
        self.root = data_dir.resolve() / INSTANCES
        self.oss_folder = data_dir.resolve() / "oss"
        self.commands_policy = commands_policy
        self.is_recipe = is_recipe
        self.base_environment = os.environ if base_environment is None else base_environment
        self.machine_capacity = capacity

    # The verbs

    @property
    def autoscales(self) -> bool:
        return False

    @property
    def judges_readiness(self) -> bool:
        return False

    def apply(self, workload: Workload) -> ServiceObservation:
        folder = self.service_folder(workload.service_uid)
        if workload.instances > 0 or folder.exists():
            self.step(workload, folder)
        return self.observe(workload.service_uid)

    def step(self, workload: Workload, folder: Path) -> None:
        """Of ``apply``: what there is to do now."""
        with self.turn(folder):
            everything = list(look(folder))
            seen = {instance.folder.name: instance for instance in everything if not instance.has_ended}
            for broken in [instance for instance in seen.values() if instance.launch is None]:
                self.retire(seen.pop(broken.folder.name))
            plan = plan_step(wanted_of(workload), [existing(instance) for instance in seen.values()])
            for name in plan.retire:
                self.retire(seen[name])
            for name in plan.bury:
                bury(seen[name].folder)
            remove_remains(folder, everything, time.time())
            if plan.start or plan.revive:
                self.start(workload, folder, plan)

    def observe(self, service_uid: str) -> ServiceObservation:
        folder = self.service_folder(service_uid)
        instances = tuple(observe_instance(seen) for seen in look(folder) if not seen.has_ended)
        return ServiceObservation(service_uid, instances, leftovers=folder.exists())

    def stop(self, service_uid: str) -> None:
        folder = self.service_folder(service_uid)
        if not folder.exists():
            return
        with self.turn(folder):
            everything = list(look(folder))
            for seen in everything:
                if not seen.has_ended:
                    self.retire(seen)
            remove_remains(folder, everything, time.time())

    def restart_instance(self, service_uid: str, instance: str) -> None:
        folder = self.service_folder(service_uid)
        if not folder.exists():
            return
        with self.turn(folder):
            for seen in look(folder):
                if seen.folder.name == instance and not seen.has_ended:
                    self.retire(seen)

    def delete(self, service_uid: str) -> None:
        folder = self.service_folder(service_uid)
        if folder.exists():
            with self.turn(folder):
                for seen in look(folder):
                    if not seen.has_ended:
                        self.retire(seen)
                if all(seen.has_ended for seen in look(folder)):
                    # Renamed first: nobody mistakes a half-removed service for one.
                    folder.rename(self.root / f".gone-{folder.name}-{secrets.token_hex(4)}")
        for gone in self.root.glob(".gone-*"):
            shutil.rmtree(gone, ignore_errors=True)

    def read_log(self, service_uid: str, query: LogQuery) -> LogPage:
        if not INSTANCE.fullmatch(query.instance):
            return EMPTY
        folder = self.service_folder(service_uid) / query.instance
        return read_page(folder / files.LOG, query, files.find_state(str(folder)).get("run", 0))

    # The questions

    def search_log(self, service_uid: str, query: LogQuery) -> LogMatches:
        if not INSTANCE.fullmatch(query.instance):
            return LogMatches()
        folder = self.service_folder(service_uid) / query.instance
        return find_matches(folder / files.LOG, query, files.find_state(str(folder)).get("run", 0))

    def list_logs(self, service_uid: str) -> tuple[str, ...]:
        folders = instance_folders(self.service_folder(service_uid))
        known = [(files.find_launch(str(folder)), folder.name) for folder in folders]
        dated = sorted((launch["created_at"], name) for launch, name in known if launch is not None)
        return tuple(name for _, name in reversed(dated))

    def refuse(self, spec: ServiceSpec) -> Refusal | None:
        model = find_model_folder(spec, self.oss_folder)
        return find_refusal(spec, self.machine_capacity(), self.commands_policy, self.is_recipe, model)

    def capacity(self) -> tuple[Capacity, ...]:
        return (self.machine_capacity(),)

    def preview(self, workload: Workload) -> Preview:
        folder = self.service_folder(workload.service_uid)
        return preview_process(workload, folder, self.oss_folder, self.base_environment)

    def check_access(self, spec: ServiceSpec) -> tuple[Check, ...]:
        return check_folders(spec, self.oss_folder)

    def overview(self) -> ClusterOverview:
        return machine_overview(self.machine_capacity())

    def heard_at(self) -> datetime | None:
        return None

    def orphans(self, wanted: Iterable[str]) -> tuple[str, ...]:
        known = set(wanted)
        return tuple(folder.name for folder in instance_folders(self.root) if folder.name not in known)

    # Parts

    def service_folder(self, service_uid: str) -> Path:
        """Raises ``ClusterError`` for what could leave the data directory."""
        if not UID.fullmatch(service_uid):
            raise ClusterError("service_uid_invalid", f"{service_uid!r} is no service's id.")
        return self.root / service_uid

    @contextlib.contextmanager
    def turn(self, folder: Path) -> Iterator[None]:
        """Hold the service's lock; errors of the file system become the cluster's."""
        try:
            lock = lock_service(folder)
            if lock is None:
                message = f"Another process has been working on {folder} for {SERVICE_LOCK_SECONDS:.0f} s."
                raise ClusterError("service_busy", message, "It is tried again by itself.")
            try:
                yield
            finally:
                files.release_lock(lock)
        except NoPort as problem:
            raise ClusterError("ports_unavailable", str(problem)) from None
        except OSError as problem:
            message = f"The data directory cannot be used: {problem.strerror} ({problem.filename})."
            raise ClusterError("data_dir_unusable", message, "Free some space or correct its permissions.") from problem

    def start(self, workload: Workload, folder: Path, plan: Plan) -> None:
        """Start what the plan says, a limited number at a time.

        Asks ``refuse`` again: an older service may be wanted under stricter settings than it was created.
        """
        refusal = self.refuse(workload.spec)
        if refusal is not None:
            raise ClusterError(refusal.code, refusal.message, refusal.cure)
        count = min(plan.start, MOST_STARTS)
        made = [self.make_instance(workload, folder) for _ in range(count)]
        start_shims([*(folder / name for name in plan.revive[:MOST_STARTS]), *made])

    def retire(self, seen: Seen) -> None:
        """Ask the instance to end, or, with its shim dead, end it here and now."""
        grace = seen.launch["grace_seconds"] if seen.launch else 0.0
        retire(seen.folder, DRAIN_SECONDS, grace)
        if not seen.is_kept:
            bury(seen.folder)

    def make_instance(self, workload: Workload, service_folder: Path) -> Path:
        """A folder with everything a shim needs; it appears under its name at once and whole."""
        folder = service_folder / new_name(workload.service_name, workload.revision)
        draft = service_folder / f".draft-{folder.name}"
        launch = render_launch(workload, Place(folder, self.oss_folder), self.base_environment)
        for required in launch["folders"]:
            private = Path(required["path"])
            if private.is_relative_to(folder):
                (draft / private.relative_to(folder)).mkdir(parents=True)
        (draft / files.LOG).mkdir(parents=True)
        files.write_json(str(draft / files.LAUNCH), launch)
        draft.rename(folder)
        return folder


def lock_service(folder: Path) -> int | None:
    """The service's lock; its folder is made again where ``delete`` removed it while we waited."""
    while True:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return files.find_lock(str(folder / files.LOCK), SERVICE_LOCK_SECONDS)


@dataclass
class Starting:
    """A shim that has not said yet whether it runs."""

    folder: Path
    process: subprocess.Popen[bytes]


def start_shims(folders: Iterable[Path]) -> None:
    """Start a shim for each folder, all at once, and wait until each holds its lock. Raises ``ClusterError``."""
    starting = [Starting(folder, start_shim(folder)) for folder in folders]
    failed = ""
    for each in starting:
        try:
            code = each.process.wait(SHIM_START_SECONDS)
        except subprocess.TimeoutExpired:
            each.process.kill()
            code = each.process.wait()
        if code not in (0, SHIM_LOCKED):
            failed = f"The process that keeps instance {each.folder.name} ended with exit code {code} at its start."
    if failed:
        raise ClusterError("shim_failed", failed, "See shim.log in the instance's folder; it is tried again by itself.")


def start_shim(folder: Path) -> subprocess.Popen[bytes]:
    with open(folder / "shim.log", "ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(SHIM), str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            start_new_session=True,
        )


def new_name(service_name: str, revision: int) -> str:
    """A DNS label that tells people the service and the revision, and is unlike every other instance's."""
    tail = f"-r{revision}-{''.join(random.SystemRandom().choices(LETTERS, k=4))}"
    head = service_name.replace("_", "-").strip("-")[: 63 - len(tail)].strip("-")
    return (head or "service") + tail


def wanted_of(workload: Workload) -> Wanted:
    spec = workload.spec
    if spec.instances != workload.instances:  # percentages are of what is wanted now
        spec = spec.with_instances(workload.instances)
    return Wanted(
        revision=workload.revision,
        restart_token=workload.restart_token,
        instances=workload.instances,
        surge=spec.surge,
        unavailable=spec.unavailable,
        ready=workload.ready,
    )


def existing(seen: Seen) -> Existing:
    """An instance as the plan sees it."""
    launch = seen.launch
    assert launch is not None
    return Existing(
        name=seen.folder.name,
        revision=launch["revision"],
        restart_token=launch["restart_token"],
        created_at=launch["created_at"],
        is_stopping=seen.is_stopping,
        is_kept=seen.is_kept,
    )


def remove_remains(service_folder: Path, instances: Iterable[Seen], now: float) -> None:
    """Forget the oldest ended instances, their logs too, and what a killed ``apply`` began."""
    for draft in service_folder.glob(".draft-*"):
        shutil.rmtree(draft, ignore_errors=True)
    ended = [seen for seen in instances if seen.has_ended]
    ended.sort(key=lambda seen: seen.launch["created_at"] if seen.launch else 0.0, reverse=True)
    for index, seen in enumerate(ended):
        if index >= KEPT_ENDED or now - seen.changed_at > KEPT_SECONDS:
            shutil.rmtree(seen.folder, ignore_errors=True)
