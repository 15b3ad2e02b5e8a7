"""A service's life in tests of faults: with every kind of object, then with another folder and without some kinds."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User

from deployments import lifecycle
from deployments.models import Service, Workspace
from deployments.spec import ServiceSpec

#: Folders are mounted by a driver that nobody has: pods of fake nodes do not mind.
BY_DRIVER = {"SLIPWAY_OSS_MOUNT": "csi"}


def spec(name: str, folder: str, instances: int, **parts: Any) -> ServiceSpec:
    container = {"image": "tools:1", "script": "exec serve", "env": [{"name": "API_KEY", "value": "secret"}]}
    mount = {"mount_path": "/models", "oss": {"path": f"oss://bucket/{folder}/", "endpoint": "oss.test"}}
    metadata = {"name": name, "instance": instances, "cpu": 1, "memory": 512, "eas.termination_grace_period": 0}
    return ServiceSpec.parse({"metadata": metadata, "containers": [container], "storage": [mount], **parts})


def first(name: str) -> ServiceSpec:
    scaled = {"min": 2, "max": 4, "scaleStrategies": [{"metricName": "cpu", "threshold": 50}]}
    return spec(name, "one", 2, autoscaler=scaled)


def second(name: str) -> ServiceSpec:
    return spec(name, "two", 1)


class Owner:
    """Who has services of fixed uids and tokens, so that two lives of one can be compared."""

    def __init__(self) -> None:
        self.user = User.objects.create_superuser("owner", password="x")
        self.workspace = Workspace.objects.get_or_create(slug="default", defaults={"name": "Default"})[0]
        self.token = ""

    def create(self, name: str, uid: str) -> Service:
        service = lifecycle.create(self.workspace, self.user, first(name))
        self.token = self.token or service.token_encrypted
        Service.objects.filter(pk=service.pk).update(uid=uid, token_encrypted=self.token)
        return Service.objects.get(pk=service.pk)

    def update(self, uid: str) -> None:
        service = Service.objects.get(uid=uid)
        lifecycle.update(service, second(service.name), self.user)

    def switch(self, uid: str, number: int) -> None:
        lifecycle.switch_version(Service.objects.get(uid=uid), number, self.user)

    def delete(self, uid: str) -> None:
        lifecycle.delete(Service.objects.get(uid=uid), self.user)
