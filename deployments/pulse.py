"""A file for each part that has a loop and no port: touched while the loop turns, so that its age tells who hangs.

A platform's probe looks at it (k8s/base). The supervisor looks at the watcher's, and asks ``/readyz`` for the others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from django.conf import settings

Part = Literal["worker", "beat", "watcher"]


def pulse_file(part: Part) -> Path:
    """In the data folder, which is made where it is not there."""
    folder = Path(settings.SLIPWAY_DATA_DIR)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / f"{part}.pulse"
