"""The verbs that Slipway has for the API server: JSON in and out, no model classes.

Failures leave here as ``ClusterError`` alone; ``answers`` says which. One connection a process: ``get_connection``.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.answers import PASSING, Asked, error_of
from deployments.clusters.kubernetes.credentials import Client
from deployments.clusters.kubernetes.kinds import DEPLOYMENT, POD, REPLICA_SET, Kind, Manifest, kind_of
from deployments.clusters.kubernetes.names import FIELD_MANAGER
from deployments.clusters.kubernetes.sending import LIST_READ_SECONDS, Request, Sender, broken_off
from deployments.clusters.kubernetes.settings import KubernetesSettings

PAGE_SIZE = 500
#: Lists are begun anew so often where their pages have grown too old.
MOST_LISTS = 3
MOST_DELETES = 5
#: How much longer than the API server's own time limit a watch may be silent.
WATCH_GRACE_SECONDS = 10.0

#: Answers that pass, and those that mean nothing for a request that names one object: a proxy's, or a race.
ANYTHING = PASSING | {409, 410}

APPLY_TYPE = {"Content-Type": "application/apply-patch+yaml"}  # JSON is YAML
MERGE_TYPE = {"Content-Type": "application/merge-patch+json"}
JSON_TYPE = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects of one kind that a selector finds, and the version that a watch may go on from."""

    items: tuple[Manifest, ...]
    resource_version: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind: by labels, by fields, of every namespace or of Slipway's, whole or without content."""

    labels: str = ""
    fields: str = ""
    everywhere: bool = False
    metadata_only: bool = False

    def accept(self, kind_of_answer: str) -> dict[str, str]:
        if not self.metadata_only:
            return {}
        return {"Accept": f"application/json;as={kind_of_answer};g=meta.k8s.io;v=v1"}


ALL = Selection()


class Connection:
    """To one cluster, for one namespace. Safe for threads; not to be taken over a fork."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self.settings = settings
        self._sender = Sender(settings)

    @property
    def namespace(self) -> str:
        return self.settings.namespace

    @property
    def _manager(self) -> str:
        """Where two Slipways happen to name an object alike, the API server tells whose values are whose."""
        installation = self.settings.installation
        return FIELD_MANAGER if installation == FIELD_MANAGER else f"{FIELD_MANAGER}-{installation}"

    @property
    def counts(self) -> Mapping[str, int]:
        """Requests sent so far by verb: get, list, watch, apply, patch, delete, log."""
        return self._sender.counts

    @property
    def client(self) -> Client:
        """Address, TLS and credentials. Raises ``ClusterError`` where there are none."""
        return self._sender.client

    def reload(self, used: Client) -> Client:
        """After a 401 elsewhere: other credentials than those that were used, where there are any."""
        self._sender.reload(used)
        return self.client

    def version(self) -> str:
        """The API server's: ``v1.34.4``."""
        answer = self._sender.fetch(Request(Asked("get", "version"), "get", "/version"), read_object)
        return str(answer.get("gitVersion", ""))

    def find(self, kind: Kind, name: str) -> Manifest | None:
        """One object as it is now, None where there is none."""
        request = Request(self._asked("get", kind, name), "get", kind.path(self.namespace, name), again=ANYTHING)
        return self._unless_missing(request)

    def list(self, kind: Kind, selection: Selection = ALL) -> Listed:
        """All of them, or an error: a list that broke off is no list."""
        for tries in range(1, MOST_LISTS + 1):
            try:
                return self._list_once(kind, selection)
            except ClusterError as error:
                if error.code != "expired" or tries == MOST_LISTS:
                    raise
        raise AssertionError("the last try raises")

    def _list_once(self, kind: Kind, selection: Selection) -> Listed:
        namespace = "" if selection.everywhere else self.namespace
        items: list[Manifest] = []
        following = ""
        while True:
            query = selected(selection) | {"limit": str(PAGE_SIZE), "continue": following}
            answer = self._sender.fetch(
                Request(
                    self._asked("list", kind, everywhere=selection.everywhere),
                    "list",
                    kind.path(namespace),
                    query=query,
                    headers=selection.accept("PartialObjectMetadataList"),
                    read_seconds=LIST_READ_SECONDS,
                    again=PASSING | {409},
                ),
                read_list,
            )
            items += [with_kind(item, kind) for item in answer["items"] or ()]
            following = answer["metadata"].get("continue") or ""
            if not following:
                return Listed(tuple(items), answer["metadata"]["resourceVersion"])

    def apply(self, manifest: Mapping[str, Any], *, force: bool = True, is_dry_run: bool = False) -> Manifest:
        """Server-side apply: give the object these values and return what it is then.

        By ``force`` whoever set others; without it, where somebody else did, raises ``ClusterError``
        ``field_conflict`` and changes nothing.
        """
        kind, name = kind_of(manifest), manifest["metadata"]["name"]
        query = {"fieldManager": self._manager, "fieldValidation": "Strict", "force": "true" if force else "false"}
        request = Request(
            self._asked("patch", kind, name),
            "apply",
            kind.path(self.namespace, name),
            "PATCH",
            query | ({"dryRun": "All"} if is_dry_run else {}),
            APPLY_TYPE,
            manifest,
            again=ANYTHING,
        )
        return with_kind(self._sender.fetch(request, read_object), kind)

    def has_applied(self, found: Mapping[str, Any]) -> bool:
        """Whether this Slipway has applied an object before, which must not be ``store.trimmed``."""
        entries = found["metadata"].get("managedFields") or ()
        return any((one.get("manager"), one.get("operation")) == (self._manager, "Apply") for one in entries)

    def patch(self, kind: Kind, name: str, change: Mapping[str, Any]) -> Manifest | None:
        """Merge ``change`` into one object and return it; None where there is none."""
        request = Request(
            self._asked("patch", kind, name),
            "patch",
            kind.path(self.namespace, name),
            "PATCH",
            {"fieldManager": self._manager},
            MERGE_TYPE,
            change,
            again=ANYTHING,
        )
        return self._unless_missing(request)

    def delete(self, manifest: Mapping[str, Any]) -> None:
        """Ask for the end of this very object, by its UID. Absent is success.

        What makes pods stays until they are gone, as the sign that they are not yet. Returns before that.
        """
        kind, metadata = kind_of(manifest), manifest["metadata"]
        name, uid = metadata["name"], metadata["uid"]
        how = "Foreground" if kind in {DEPLOYMENT, REPLICA_SET} else "Background"
        request = Request(
            self._asked("delete", kind, name),
            "delete",
            kind.path(self.namespace, name),
            "DELETE",
            headers=JSON_TYPE,
            body={"propagationPolicy": how, "preconditions": {"uid": uid}},
            again=PASSING | {410},
        )
        for tries in range(1, MOST_DELETES + 1):
            try:
                self._unless_missing(request)
                return
            except ClusterError as error:
                if error.code != "conflict" or tries == MOST_DELETES:
                    raise
            found = self.find(kind, name)  # a conflict may mean that another object has the name by now
            if found is None or found["metadata"]["uid"] != uid:
                return

    @contextmanager
    def watch(
        self, kind: Kind, resource_version: str, selection: Selection = ALL, *, timeout_seconds: int = 300
    ) -> Iterator[Iterator[Manifest]]:
        """What changes after ``resource_version``, as events (``type``, ``object``), bookmarks too.

        They end when the API server ends them, about ``timeout_seconds`` later. A longer silence raises
        ``ClusterError`` ``not_reachable``, an ERROR event its own error (``expired``: list anew).
        """
        asked = self._asked("watch", kind, everywhere=selection.everywhere)
        request = Request(
            asked,
            "watch",
            kind.path("" if selection.everywhere else self.namespace),
            query=selected(selection)
            | {
                "watch": "true",
                "allowWatchBookmarks": "true",
                "resourceVersion": resource_version,
                "timeoutSeconds": str(timeout_seconds),
            },
            headers=selection.accept("PartialObjectMetadata"),
            read_seconds=timeout_seconds + WATCH_GRACE_SECONDS,
        )
        with self._sender.stream(request) as lines:
            yield (read_event(line, kind, asked) for line in lines)

    @contextmanager
    def read_pod_log(self, pod: str, query: Mapping[str, str], *, read_seconds: float) -> Iterator[Iterator[bytes]]:
        """The lines of a container's log (``query``: container, follow, timestamps, sinceTime, previous …)."""
        asked = Asked("get", "pods/log", pod, self.namespace)
        path = f"{POD.path(self.namespace, pod)}/log"
        with self._sender.stream(Request(asked, "log", path, query=query, read_seconds=read_seconds)) as lines:
            yield lines

    def _unless_missing(self, request: Request) -> Manifest | None:
        try:
            return self._sender.fetch(request, read_object)
        except ClusterError as error:
            if error.code == "not_found":
                return None
            raise

    def _asked(self, verb: str, kind: Kind, name: str = "", *, everywhere: bool = False) -> Asked:
        namespace = self.namespace if kind.is_namespaced and not everywhere else ""
        return Asked(verb, kind.plural, name, namespace)


def selected(selection: Selection) -> dict[str, str]:
    return {"labelSelector": selection.labels, "fieldSelector": selection.fields}


def read_object(body: bytes) -> Manifest | None:
    """An answer that is one object; None where it broke off."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def read_list(body: bytes) -> Manifest | None:
    """An answer that is a whole page of a list, else None."""
    found = read_object(body)
    if found is None or not str(found.get("kind")).endswith("List") or "items" not in found:
        return None
    metadata, items = found.get("metadata"), found["items"] or ()
    if not isinstance(metadata, dict) or not metadata.get("resourceVersion") or not all(map(is_object, items)):
        return None
    is_short = bool(metadata.get("remainingItemCount")) and not metadata.get("continue")
    return None if is_short else found


def is_object(item: object) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("name") and metadata.get("uid"))


def read_event(line: bytes, kind: Kind, asked: Asked) -> Manifest:
    """One event of a watch. Raises ``ClusterError`` for an ERROR event and for a line that is none."""
    event = read_object(line)
    if event is None or "type" not in event or not isinstance(event.get("object"), dict):
        raise broken_off()
    if event["type"] == "ERROR":
        status = event["object"]
        raise error_of(int(status.get("code") or 500), json.dumps(status).encode(), asked)
    event["object"] = with_kind(event["object"], kind)
    return event


def with_kind(found: Manifest, kind: Kind) -> Manifest:
    """Objects in lists do not say what they are, and those without content say something else."""
    return found | {"apiVersion": kind.api_version, "kind": kind.name}


_lock = threading.Lock()
_connections: dict[tuple[int, str, str, str, str], Connection] = {}


def get_connection(settings: KubernetesSettings) -> Connection:
    """The one connection that this process has for these settings."""
    key = (os.getpid(), settings.kubeconfig, settings.context, settings.namespace, settings.installation)
    with _lock:
        if key not in _connections:
            _connections[key] = Connection(settings)
        return _connections[key]
