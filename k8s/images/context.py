"""The files of a build's context: which a COPY takes, as ``Dockerfile.dockerignore`` leaves them, and their digest."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


class NotInContext(Exception):
    """A COPY names what is not there. The text says so."""


@dataclass(frozen=True, slots=True)
class Context:
    """A folder, and the patterns of what it hides: a path from its root, or ``**/name`` anywhere."""

    folder: Path
    ignored: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: Path, dockerfile: Path) -> Context:
        """With the patterns that lie beside ``dockerfile``, where Docker looks too."""
        file = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
        lines = file.read_text().splitlines() if file.exists() else []
        return cls(folder, tuple(line for line in map(str.strip, lines) if line and not line.startswith("#")))

    def is_ignored(self, path: str) -> bool:
        parts = PurePosixPath(path).parts
        for pattern in self.ignored:
            if pattern.startswith("**/"):
                if any(fnmatch.fnmatch(part, pattern[3:]) for part in parts):
                    return True
            elif fnmatch.fnmatch(path, pattern) or path.startswith(f"{pattern}/"):
                return True
        return False

    def files(self, source: str) -> list[str]:
        """Paths from the context's root, of one file or of all files in one folder, sorted.

        Raises NotInContext.
        """
        source = str(PurePosixPath(source))
        path = self.folder / source
        if self.is_ignored(source) or not path.exists():
            raise NotInContext(f"COPY {source}: {path} is not there.")
        if path.is_file():
            return [source]
        return sorted(self._walk(path))

    def _walk(self, folder: Path) -> Iterator[str]:
        for entry in os.scandir(folder):
            path = Path(entry.path).relative_to(self.folder).as_posix()
            if self.is_ignored(path):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(Path(entry.path))
            else:
                yield path

    def digest(self, source: str) -> str:
        """Changes with any name, content or right to execute. Raises NotInContext."""
        digest = hashlib.sha256()
        for name in self.files(source):
            path = self.folder / name
            mode = "x" if _is_executable(path) else "-"
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name}\0{mode}{content}\n".encode())
        return digest.hexdigest()

    def copy(self, sources: tuple[str, ...], root: Path, target: str) -> None:
        """As COPY does: of a folder its content, of a file the file. Everything becomes root's. Raises NotInContext."""
        for source in sources:
            path = self.folder / source
            into = root / target.lstrip("/")
            for name in self.files(source):
                if path.is_dir():
                    file = into / PurePosixPath(name).relative_to(PurePosixPath(source))
                else:
                    file = into / path.name if target.endswith("/") or len(sources) > 1 else into
                file.parent.mkdir(parents=True, exist_ok=True)
                file.unlink(missing_ok=True)  # what is there may be another stage's as well
                shutil.copy2(self.folder / name, file)
                os.chown(file, 0, 0)
                # Whatever the umask of the clone was: others, as which the image runs, may read.
                file.chmod(0o755 if _is_executable(file) else 0o644)


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)
