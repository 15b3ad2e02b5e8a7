"""A Python package as small as can be: a module with a program ``tiny-tool``, which says that it runs."""

from __future__ import annotations

import zipfile
from pathlib import Path


def make_tiny_wheel(folder: Path) -> Path:
    wheel = folder / "tiny_tool-1.0-py3-none-any.whl"
    info = "tiny_tool-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("tiny_tool.py", "def main():\n    print('it runs')\n")
        made.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-tool\nVersion: 1.0\n")
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/entry_points.txt", "[console_scripts]\ntiny-tool = tiny_tool:main\n")
        made.writestr(f"{info}/RECORD", "")
    return wheel
