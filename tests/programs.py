"""Programs that root installs. A test that lacks one is skipped with the reason, and fails in CI."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

#: Where distributions put programs that are not on everybody's PATH.
_FOLDERS = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin", "/usr/sbin")
_NAMES = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "postgresql": ("pg_ctl",)}


def find_program(name: str) -> Path | None:
    """Path of ``chromium``, ``postgresql`` (its ``pg_ctl``) or any program by its own name, or None."""
    # The distribution's own folders first: initdb and postgres lie beside the pg_ctl that is there.
    search_path = os.pathsep.join((*_FOLDERS, os.environ.get("PATH", os.defpath)))
    for candidate in _NAMES.get(name, (name,)):
        found = shutil.which(candidate, path=search_path)
        if found is not None:
            return Path(found)
    return None


def require_program(name: str) -> Path:
    """The program's path. Absent: the test is skipped, or, under ``CI=true``, fails."""
    found = find_program(name)
    if found is not None:
        return found
    reason = f"{name} is not installed: install it as root (Debian: apt-get install {name})"
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; under CI=true a skip is a failure")
    pytest.skip(reason)
