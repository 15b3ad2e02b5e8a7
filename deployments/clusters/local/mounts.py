"""Where a document's ``mount_path`` lies on this machine, and what changes in its texts for that (design.md).

Nothing is mounted: each ``mount_path`` stands for a folder, and is replaced by it as a whole path prefix.
Pure, but for the names of folders that are given to it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deployments.clusters.local.folder import VOLUMES
from deployments.spec.storage import Mount

#: What may stand before a path for it to begin there: nothing, white space, quotes, and what separates.
#: ``:-`` is the shell's default value, ``${MODEL:-/model_dir}``.
BEFORE = r"""(?:(?<![^\s"'`=:,;(\[{<>|&])|(?<=:-))"""
#: What may not follow: whatever makes it a longer name, a glob or an escaped character of a longer name.
AFTER = r"""(?![\w.\-~+@%*?\[{$]|\\[^"'`nrt])"""


@dataclass(frozen=True, slots=True)
class Volume:
    """One mount, resolved: ``mount_path`` (normal form) is ``folder`` here."""

    mount_path: str
    folder: Path
    source: str  # as the document names it, for messages
    is_private: bool  # made for the instance and removed with it


def volumes(mounts: Iterable[Mount], oss_folder: Path, instance_folder: Path) -> tuple[Volume, ...]:
    """Resolve ``oss`` and ``empty_dir``; the others have been refused before (``refusals``)."""
    found = []
    for index, mount in enumerate(mounts):
        mount_path = "/" + posixpath.normpath(mount.mount_path).lstrip("/")
        if mount.oss is not None:
            folder = oss_folder / mount.oss.bucket / mount.oss.prefix
            found.append(Volume(mount_path, folder, mount.oss.path, is_private=False))
        elif mount.empty_dir is not None:
            folder = instance_folder / VOLUMES / str(index)
            found.append(Volume(mount_path, folder, "empty_dir", is_private=True))
    return tuple(found)


def replace_paths(text: str, found: Iterable[Volume], *, is_shell: bool = False) -> str:
    """``text`` with each mount path replaced; ``is_shell`` keeps folders with odd characters one word."""
    by_path = {volume.mount_path: str(volume.folder) for volume in found}
    if not by_path:
        return text
    # One pass with the longest first: what has been put in is never looked at again.
    paths = "|".join(re.escape(path) for path in sorted(by_path, key=len, reverse=True))
    pattern = re.compile(f"{BEFORE}(?:{paths}){AFTER}")
    quote: Callable[[str, str], str] = quoted_for if is_shell else (lambda folder, _: folder)
    return pattern.sub(lambda match: quote(by_path[match[0]], text[: match.start()]), text)


def quoted_for(folder: str, before: str) -> str:
    """``folder`` as a shell reads it back after the text ``before``, inside the quotes that are open there."""
    if re.fullmatch(r"[\w@%+=:,./-]*", folder, re.ASCII):
        return folder
    opened = open_quote(before)
    if opened == "'":
        return folder.replace("'", "'\\''")
    if opened == '"':
        return re.sub(r'(["\\$`])', r"\\\1", folder)
    return re.sub(r"([^\w@%+=:,./-])", r"\\\1", folder, flags=re.ASCII)


def open_quote(text: str) -> str:
    """The quote that is open at the end of shell text, or ""."""
    opened = ""
    skip = False
    for character in text:
        if skip:
            skip = False
        elif character == "\\" and opened != "'":
            skip = True
        elif character in "'\"" and opened in ("", character):
            opened = "" if opened else character
    return opened
