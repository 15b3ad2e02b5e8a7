"""The data folder: made for its owner alone, with the secret key in it.

No Django here: the supervisor uses it before anything else is loaded.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from console.environment import Environment


class DataFolderError(Exception):
    """The data folder cannot be used. The text is a sentence with the cure."""


def prepare_data_folder(path: Path) -> None:
    """Make the folder with mode 0700, or take the mode from an existing one that others may enter."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            path.chmod(0o700)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataFolderError(
            f"Data folder {path} cannot be used ({error.strerror}). Choose another one with SLIPWAY_DATA_DIR."
        ) from error


def prepare_socket_folder(environment: Environment) -> None:
    """Make the folder of the embedded Valkey's socket when it is not the data folder itself.

    It then lies in the shared temporary folder, where somebody else may have made it first.
    """
    folder = environment.valkey_socket.parent
    if folder == environment.data_dir:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise DataFolderError(
            f"{folder} belongs to somebody else, or others may enter it. Remove it, or choose a data folder "
            "with a shorter path."
        )


def load_secret_key(environment: Environment) -> str:
    """The secret key: given, or from ``secret.key`` in the data folder, made there the first time.

    Several processes may come first at once: the file appears whole, under its own name, once.
    """
    if environment.secret_key is not None:
        return environment.secret_key
    path = environment.data_dir / "secret.key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        prepare_data_folder(environment.data_dir)
    draft = environment.data_dir / f".secret.key-{os.getpid()}-{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, secrets.token_urlsafe(48).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()
