"""The environment in which Alibaba's packages run, as the lock file has them. Later runs find it again."""

from __future__ import annotations

from pathlib import Path

from console.environment import REPOSITORY
from tests.locked_environment import install_locked


def install_sdks() -> Path:
    """Its Python. Two test processes may ask at once."""
    turn = REPOSITORY / ".setup.lock"
    return install_locked(REPOSITORY / "requirements-sdks.lock", REPOSITORY / ".venv-sdks", turn)
