"""``storage`` of a document as volumes of a pod, and what makes their contents (eas.md §3.6, §7).

A folder of an object store is mounted by OSS's own driver where the cluster has it. Elsewhere an init container copies
it from any S3 endpoint: into the instance's own volume, or into a claim of the administrator that keeps it for the
next. What is copied is mounted read-only, because nothing would copy changes back.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from deployments.clusters.base import Workload
from deployments.clusters.kubernetes.rendering.facts import OSS_DRIVER, ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.images import OWN_USER, pull_policy
from deployments.clusters.kubernetes.rendering.resources import Resources, init_resources, size_quantity
from deployments.clusters.kubernetes.rendering.secrets import git_key
from deployments.clusters.kubernetes.rendering.security import container_security
from deployments.clusters.kubernetes.rendering.texts import literal
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.spec.storage import Git, Mount, Oss

#: Where the copier and the cloner find the volume that they fill.
TARGET = "/storage"
#: An object store has no size; a volume must name one.
OSS_CAPACITY = "100Gi"
#: Without stale listings, and readable for whatever user a program runs as.
OSS_OPTIONS = "-o max_stat_cache_size=0 -o allow_other -o umask=022"
COPIER = "deployments.clusters.kubernetes.copier"
CLONER = "deployments.clusters.kubernetes.cloner"
#: Keys of the Secret that ``SLIPWAY_OSS_SECRET`` names, as Alibaba Cloud's driver wants them.
ACCESS_KEYS = {"AWS_ACCESS_KEY_ID": "akId", "AWS_SECRET_ACCESS_KEY": "akSecret"}


@dataclass(frozen=True, slots=True)
class Storage:
    """What a pod needs for its mounts."""

    volumes: list[Manifest] = field(default_factory=list)
    mounts: list[Manifest] = field(default_factory=list)
    preparing: list[Manifest] = field(default_factory=list)  # init containers


def uses_driver(settings: KubernetesSettings, facts: ClusterFacts) -> bool:
    """Whether OSS's driver mounts folders, and nothing is copied."""
    return settings.oss_mount == "csi" or (settings.oss_mount == "auto" and facts.has_oss_driver)


def render_storage(
    name: str, workload: Workload, settings: KubernetesSettings, facts: ClusterFacts, resources: Resources
) -> Storage:
    """Volumes, mounts and init containers, in the document's order."""
    storage = Storage()
    for place, mount in enumerate(workload.spec.mounts):
        volume = f"storage-{place}"
        mounted: Manifest = {"name": volume, "mountPath": mount.folder}
        if mount.empty_dir is not None:
            storage.volumes.append({"name": volume, "emptyDir": empty_dir(mount)})
        elif mount.nfs is not None:
            nfs = mount.nfs
            source = {"server": nfs.server.strip("[]"), "path": nfs.path, "readOnly": nfs.read_only}
            storage.volumes.append({"name": volume, "nfs": source})
            mounted["readOnly"] = nfs.read_only
        elif mount.git is not None:
            storage.volumes.append({"name": volume, "emptyDir": {}})
            storage.preparing.append(cloner(name, place, mount.git, settings, resources))
        elif mount.oss is not None and uses_driver(settings, facts):
            claim = {"claimName": volume_name(name, place, mount.oss, settings), "readOnly": mount.oss.read_only}
            storage.volumes.append({"name": volume, "persistentVolumeClaim": claim})
            mounted["readOnly"] = mount.oss.read_only
        elif mount.oss is not None:
            storage.volumes.append({"name": volume, **copied_into(settings)})
            mounted |= {"readOnly": True, **sub_path(mount.oss, settings)}
            storage.preparing.append(copier(place, mount.oss, settings, resources))
        storage.mounts.append(mounted)
    return storage


def empty_dir(mount: Mount) -> Manifest:
    found: Manifest = {}
    if mount.empty_dir is not None and mount.empty_dir.is_memory:
        found["medium"] = "Memory"
    if mount.empty_dir is not None and mount.empty_dir.size_limit is not None:
        found["sizeLimit"] = size_quantity(mount.empty_dir.size_limit)
    return found


def render_volumes(
    name: str, workload: Workload, settings: KubernetesSettings, facts: ClusterFacts
) -> Iterator[Manifest]:
    """A PersistentVolume and the claim on it for each folder that OSS's driver mounts, volumes first."""
    if not uses_driver(settings, facts):
        return
    folders = [(place, mount.oss) for place, mount in enumerate(workload.spec.mounts) if mount.oss is not None]
    for place, oss in folders:
        yield persistent_volume(volume_name(name, place, oss, settings), oss, settings)
    for place, oss in folders:
        yield volume_claim(volume_name(name, place, oss, settings), oss)


def volume_name(name: str, place: int, oss: Oss, settings: KubernetesSettings) -> str:
    """A volume cannot be edited, so another folder is another name. It lies in no namespace, so another Slipway's copy
    of the service has another name, too.
    """
    whose = (settings.namespace, settings.installation)
    source = "\0".join((oss.path, endpoint_of(oss, settings), str(oss.read_only), settings.oss_secret, *whose))
    return f"{name}-{place}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def persistent_volume(name: str, oss: Oss, settings: KubernetesSettings) -> Manifest:
    driver: Manifest = {
        "driver": OSS_DRIVER,
        "volumeHandle": name,
        "volumeAttributes": {
            "bucket": oss.bucket,
            "url": driver_endpoint(endpoint_of(oss, settings)),
            "path": f"/{oss.prefix}",
            "otherOpts": f"{OSS_OPTIONS} -o ro" if oss.read_only else OSS_OPTIONS,
        },
    }
    if settings.oss_secret:
        driver["nodePublishSecretRef"] = {"name": settings.oss_secret, "namespace": settings.namespace}
    spec: Manifest = {
        "capacity": {"storage": OSS_CAPACITY},
        "accessModes": [access_mode(oss)],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": "",
        "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "name": name,
            "namespace": settings.namespace,
        },
        "csi": driver,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def volume_claim(name: str, oss: Oss) -> Manifest:
    spec: Manifest = {
        "accessModes": [access_mode(oss)],
        "resources": {"requests": {"storage": OSS_CAPACITY}},
        "storageClassName": "",
        "volumeName": name,
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def access_mode(oss: Oss) -> str:
    return "ReadOnlyMany" if oss.read_only else "ReadWriteMany"


def endpoint_of(oss: Oss, settings: KubernetesSettings) -> str:
    """The document's endpoint, else the administrator's; "" where there is neither."""
    return oss.endpoint or settings.oss_endpoint


def driver_endpoint(endpoint: str) -> str:
    """OSS's own endpoint: its driver does not speak S3."""
    return re.sub(r"^(https?://)?s3\.(oss-)", r"\1\2", endpoint)


def copied_into(settings: KubernetesSettings) -> Manifest:
    if settings.oss_claim:
        return {"persistentVolumeClaim": {"claimName": settings.oss_claim}}
    return {"emptyDir": {}}


def sub_path(oss: Oss, settings: KubernetesSettings) -> Manifest:
    """In a claim that many share, each folder has a place of its own."""
    if not settings.oss_claim:
        return {}
    source = "\0".join((endpoint_of(oss, settings), oss.bucket, oss.prefix))
    return {"subPath": f"oss/{hashlib.sha256(source.encode()).hexdigest()[:16]}"}


def copier(place: int, oss: Oss, settings: KubernetesSettings, resources: Resources) -> Manifest:
    """Copies a folder of an object store before the program starts."""
    env: list[Manifest] = []
    if settings.oss_secret:
        env = [secret_variable(name, settings.oss_secret, key) for name, key in ACCESS_KEYS.items()]
    words = [f"--bucket={oss.bucket}", f"--prefix={oss.prefix}", f"--endpoint={endpoint_of(oss, settings)}"]
    container = tool(place, COPIER, words, settings, resources)
    container["volumeMounts"][0] |= sub_path(oss, settings)
    return {**container, **({"env": env} if env else {})}


def cloner(name: str, place: int, git: Git, settings: KubernetesSettings, resources: Resources) -> Manifest:
    """Clones a repository before the program starts. The password is nowhere on its command line."""
    asked = {"repo": git.repo, "branch": git.branch, "commit": git.commit}
    words = [f"--{option}={value}" for option, value in asked.items() if value]
    container = tool(place, CLONER, words, settings, resources)
    if git.password:
        container["env"] = [
            secret_variable(f"GIT_{part.upper()}", name, git_key(place, part)) for part in ("username", "password")
        ]
    return container


def tool(place: int, module: str, words: list[str], settings: KubernetesSettings, resources: Resources) -> Manifest:
    """An init container that runs one of Slipway's own programs on a mount's volume."""
    return {
        "name": f"storage-{place}",
        "image": settings.tools_image,
        "imagePullPolicy": pull_policy(settings.tools_image),
        "command": ["python", "-m", module],
        "args": [literal(word) for word in (*words, f"--target={TARGET}")],
        "resources": init_resources(resources),
        "securityContext": container_security(user=OWN_USER, is_root_read_only=True),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": f"storage-{place}", "mountPath": TARGET},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
        ],
    }


def secret_variable(name: str, secret: str, key: str) -> Manifest:
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
