"""What must not be read in a manifest: the token, passwords, variables that are named like secrets."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator

from deployments.clusters.kubernetes.rendering.facts import ClusterFacts, Manifest
from deployments.clusters.kubernetes.rendering.images import real_image
from deployments.clusters.kubernetes.settings import KubernetesSettings
from deployments.clusters.preview import SECRET_NAME
from deployments.spec import ServiceSpec

TOKEN_KEY = "token"
LONGEST_NAME = 200
#: Where a login to Docker's own registry is kept.
DOCKER_HUB = "https://index.docker.io/v1/"


def is_secret_name(name: str) -> bool:
    """Whether a variable of that name most likely holds something that others must not see."""
    return SECRET_NAME.search(name) is not None


def variable_key(container: int, name: str) -> str:
    """The Secret's key of a variable of the container at that place of the document; keys are no longer than 253."""
    short = name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest()
    return f"containers.{container}.env.{short}"


def git_key(mount: int, part: str) -> str:
    return f"storage.{mount}.git.{part}"


def registry_secret_name(name: str) -> str:
    return f"{name}-registry"


def render_secrets(
    name: str, spec: ServiceSpec, settings: KubernetesSettings, facts: ClusterFacts
) -> Iterator[Manifest]:
    """The service's own Secret, where there is anything to keep, and that of its image registry."""
    values = {TOKEN_KEY: facts.token} if facts.token else {}
    for place, container in enumerate(spec.parsed.containers):
        for variable in container.env:
            if is_secret_name(variable.name):
                values[variable_key(place, variable.name)] = variable.value
    for place, mount in enumerate(spec.mounts):
        if mount.git is not None and mount.git.password:
            values[git_key(place, "username")] = mount.git.username
            values[git_key(place, "password")] = mount.git.password
    if values:
        yield secret(name, "Opaque", values)
    if spec.parsed.docker_auth:
        images = [real_image(container.image, settings.images) for container in spec.parsed.containers]
        hosts = dict.fromkeys(map(registry_of, images))
        logins = {"auths": {host: {"auth": spec.parsed.docker_auth} for host in hosts}}
        text = json.dumps(logins, separators=(",", ":"))
        yield secret(registry_secret_name(name), "kubernetes.io/dockerconfigjson", {".dockerconfigjson": text})


def secret(name: str, kind: str, values: dict[str, str]) -> Manifest:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data}


def registry_of(image: str) -> str:
    """The registry of an image, as logins name it."""
    host, slash, _ = image.partition("/")
    return host if slash and ("." in host or ":" in host or host == "localhost") else DOCKER_HUB
