"""Names and labels of a service's objects: always valid in Kubernetes, never colliding. Pure.

A service's name may hold ``_`` and 63 characters, and another service may later have the same; its uid is random and
never used again, so the uid makes the name unique and the service's name only makes it readable.
"""

from __future__ import annotations

import re

#: Of the 63 characters of a label, a pod's name needs 17 for its ReplicaSet and itself.
LONGEST_SLUG = 32

MANAGED_BY = "app.kubernetes.io/managed-by"
APP_NAME = "app.kubernetes.io/name"
INSTALLATION = "slipway.dev/installation"
SERVICE_UID = "slipway.dev/service-uid"
SERVICE = "slipway.dev/service"
REVISION = "slipway.dev/revision"
RESTART = "slipway.dev/restart"
SPEC_HASH = "slipway.dev/spec-hash"
#: Which database an object was written for: another Slipway of the same settings must not take it for its orphan.
OWNER = "slipway.dev/owner"
#: Annotation of pods whose program is not started again once it has ended.
CRASH_BLOCK = "slipway.dev/crash-block"
FIELD_MANAGER = "slipway"
#: The container that answers requests, in every pod the first.
MAIN_CONTAINER = "main"


def uid_letters(service_uid: str) -> str:
    """``eas-m-`` and 12 letters or digits, without what all have in common."""
    return service_uid.removeprefix("eas-m-")


def object_name(service_name: str, service_uid: str) -> str:
    """The name that a service's objects share: a DNS label that begins with a letter, of at most 45 characters."""
    slug = re.sub(r"[^a-z0-9]+", "-", service_name.lower()).strip("-")
    if not slug or not slug[0].isalpha():  # a Kubernetes Service's name begins with a letter
        slug = f"s-{slug}".rstrip("-")
    return f"{slug[:LONGEST_SLUG].rstrip('-')}-{uid_letters(service_uid)}"


def own_labels(installation: str, service_uid: str) -> dict[str, str]:
    """What marks an object as one service's of one Slipway; selectors use these."""
    return {MANAGED_BY: "slipway", INSTALLATION: installation, SERVICE_UID: service_uid}


def selector(installation: str, service_uid: str = "") -> str:
    """The same as a label selector; without a uid: of every service of this Slipway."""
    labels = own_labels(installation, service_uid)
    return ",".join(f"{name}={value}" if value else name for name, value in labels.items())
