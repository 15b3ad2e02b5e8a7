"""Whether what a service needs from elsewhere can be reached: image pull secrets, folders of an object store.

These questions go over the network, so they are asked when somebody wants to know and not while somebody types. What
cannot be reached from here may well be from a node: that is said as unknown, never as a failure.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from deployments.clusters.base import ClusterError
from deployments.clusters.kubernetes.connection import Connection
from deployments.clusters.kubernetes.kinds import SECRET, Manifest
from deployments.clusters.kubernetes.object_store import connect
from deployments.clusters.preview import Check
from deployments.words import join, say

LIMIT_SECONDS = 3.0
MOST_AT_ONCE = 8
PULL_TYPES = ("kubernetes.io/dockerconfigjson", "kubernetes.io/dockercfg")
DENIED = ("AccessDenied", "403", "InvalidAccessKeyId", "SignatureDoesNotMatch", "Forbidden", "AllAccessDisabled")


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder, or one file, of an object store. ``endpoint`` may leave the scheme out."""

    path: str  # as the document names it
    bucket: str
    prefix: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """Both empty: nobody is named, and a bucket has to be open to all."""

    key_id: str = ""
    secret: str = field(default="", repr=False)


def check_pull_secrets(names: Iterable[str], connection: Connection) -> tuple[Check, ...]:
    """One answer for each Secret that images are pulled with."""
    return tuple(check_pull_secret(name, connection) for name in names)


def check_pull_secret(name: str, connection: Connection) -> Check:
    values = {"secret": name, "namespace": connection.namespace}
    try:
        found = connection.find(SECRET, name)
    except ClusterError as error:
        return Check("pull_secret", "unknown", error.message, error.cure, error.code, values)
    if found is None:
        told = say("There is no Secret %(secret)s in namespace %(namespace)s to pull the image with.", **values)
        cure = say("Create it with kubectl create secret docker-registry, or correct its name.")
        return Check("pull_secret", "fails", told, cure, "pull_secret_missing", values)
    if found.get("type") not in PULL_TYPES:
        told = say("The Secret %(secret)s holds no registry's password.", secret=name)
        cure = say("Create it with kubectl create secret docker-registry, or correct its name.")
        return Check("pull_secret", "fails", told, cure, "pull_secret_wrong", values)
    return Check("pull_secret", "ok", say("The pull secret %(secret)s is there.", secret=name), values=values)


def find_access_keys(name: str, connection: Connection) -> AccessKeys:
    """Of the Secret that OSS is reached with. Raises ``ClusterError`` where it is not there."""
    if not name:
        return AccessKeys()
    found = connection.find(SECRET, name)
    if found is None:
        raise ClusterError(
            "oss_secret_missing",
            say("There is no Secret %(secret)s in namespace %(namespace)s to reach OSS with.",
                secret=name, namespace=connection.namespace),
            say("Create it with akId and akSecret, or correct SLIPWAY_OSS_SECRET."),
        )  # fmt: skip
    return AccessKeys(value_of(found, "akId"), value_of(found, "akSecret"))


def value_of(secret: Manifest, key: str) -> str:
    return base64.b64decode((secret.get("data") or {}).get(key) or "").decode("utf-8", "replace").strip()


def check_folders(folders: Iterable[Folder], keys: AccessKeys) -> tuple[Check, ...]:
    """One answer for each, all at once, each within seconds."""
    asked = list(folders)
    if not asked:
        return ()
    with ThreadPoolExecutor(max_workers=min(len(asked), MOST_AT_ONCE)) as pool:
        return tuple(pool.map(lambda folder: check_folder(folder, keys), asked))


def check_folder(folder: Folder, keys: AccessKeys) -> Check:
    values = {"path": folder.path, "endpoint": folder.endpoint}
    if not folder.endpoint:
        told = say("%(path)s names no endpoint, so nobody knows where it is.", path=folder.path)
        cure = say("Give it an endpoint in the document, or set SLIPWAY_OSS_ENDPOINT.")
        return Check("storage", "fails", told, cure, "storage_endpoint_missing", values)
    try:
        is_there = holds_anything(store_of(folder.endpoint, keys), folder)
    except ClientError as error:
        return refused(folder, code_of(error), values)
    except (BotoCoreError, ValueError) as error:
        told = say("%(endpoint)s cannot be reached from here: %(reason)s.",
                   endpoint=folder.endpoint, reason=reason_of(error))  # fmt: skip
        cure = say("Nodes may reach it all the same. Otherwise correct the endpoint.")
        return Check("storage", "unknown", told, cure, "storage_unreachable", values)
    if not is_there:
        told = say("%(path)s is empty, or not there.", path=folder.path)
        cure = say("Upload the files there, or correct the path.")
        return Check("storage", "fails", told, cure, "storage_empty", values)
    return Check("storage", "ok", say("%(path)s can be read.", path=folder.path), values=values)


def holds_anything(store: Any, folder: Folder) -> bool:
    """Whether a file lies in the folder, or is what the path names."""
    below = f"{folder.prefix}/" if folder.prefix else ""
    if store.list_objects_v2(Bucket=folder.bucket, Prefix=below, MaxKeys=1).get("Contents"):
        return True
    if not folder.prefix:
        return False
    try:
        store.head_object(Bucket=folder.bucket, Key=folder.prefix)
    except ClientError as error:
        if code_of(error) in ("404", "NoSuchKey"):
            return False
        raise
    return True


def code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def refused(folder: Folder, code: str, values: dict[str, str]) -> Check:
    if code in ("NoSuchBucket", "404"):
        told = say("There is no bucket %(bucket)s at %(endpoint)s.", bucket=folder.bucket, endpoint=folder.endpoint)
        cure = say("Correct the bucket or the endpoint, or create the bucket.")
        return Check("storage", "fails", told, cure, "storage_bucket_missing", values)
    if code in DENIED:
        told = say("%(path)s may not be read with Slipway's access key (%(code)s).", path=folder.path, code=code)
        cure = say("Let the key read the bucket, or name another Secret in SLIPWAY_OSS_SECRET.")
        return Check("storage", "fails", told, cure, "storage_denied", values)
    told = say("%(endpoint)s answers %(code)s for %(path)s.", endpoint=folder.endpoint, code=code, path=folder.path)
    return Check("storage", "unknown", join(told, say("Ask again, or see the store's own log.")), "", "storage_answer",
                 values)  # fmt: skip


def store_of(endpoint: str, keys: AccessKeys) -> Any:
    """A client that gives up within seconds. Raises ``ValueError`` for an endpoint that is no address."""
    return connect(endpoint, keys.key_id, keys.secret, timeout_seconds=LIMIT_SECONDS, attempts=1)


def reason_of(error: Exception) -> str:
    """The first line of what a client says, without the address that is said already."""
    return f"{error}".splitlines()[0][:160].rstrip(". ") if f"{error}" else type(error).__name__
