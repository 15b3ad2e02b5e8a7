"""What a page makes a browser load, compressed as it is served: scripts with all they import at once, styles."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from console.environment import REPOSITORY

DIST = REPOSITORY / "static" / "dist"
HASH = re.compile(r"\.[0-9a-f]{12}(?=\.(?:js|css|svg)$)")
#: ``import … from "./x.js"``, ``export … from`` and ``import "./x.js"``; not ``import("./x.js")``, which waits.
STATIC_IMPORT = re.compile(r"""(?:\bfrom|\bimport)\s*["'](\.[^"']+)["']""")
LAZY_IMPORT = re.compile(r"""\bimport\(\s*["'](\.[^"']+)["']\s*\)""")


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes, gzip."""

    scripts: int
    styles: int


def gzip_bytes(file: Path) -> int:
    return len(gzip.compress(file.read_bytes(), 6))


def loaded_with(file: Path, pattern: re.Pattern[str] = STATIC_IMPORT) -> set[Path]:
    """The module and all that it imports at once, and what those do."""
    found, waiting = set[Path](), [file.resolve()]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [(module.parent / name).resolve() for name in pattern.findall(module.read_text())]
    return found


def lazy_modules(file: Path) -> set[Path]:
    """What a module and those it imports load later, with their own imports, less what is there by then."""
    at_once = loaded_with(file)
    later = {(module.parent / name).resolve() for module in at_once for name in LAZY_IMPORT.findall(module.read_text())}
    return {module for entry in later for module in loaded_with(entry)} - at_once


def page_files(html: str, kind: str) -> list[Path]:
    """The built files that a page names: ``kind`` is js or css."""
    named = re.findall(rf'(?:src|href)="/static/([^"]+\.{kind})"', html)
    return [DIST / HASH.sub("", name) for name in named]


def page_weight(html: str) -> Weight:
    """The weight of a page as a browser would load it with an empty cache."""
    modules = {module for file in page_files(html, "js") for module in loaded_with(file)}
    return Weight(sum(map(gzip_bytes, modules)), sum(gzip_bytes(file) for file in page_files(html, "css")))
