"""Which versions of Kubernetes Slipway works with. Pure."""

from __future__ import annotations

import re

from deployments.words import say

OLDEST = (1, 30)
NEEDED = say("Slipway needs Kubernetes 1.30 or later.")


def is_too_old(version: str) -> bool:
    """Of the API server's own ``v1.34.4``; one that says nothing of the kind is not judged."""
    found = re.match(r"v?(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < OLDEST
