"""Runs one of Slipway's modules with another environment's interpreter. Run by its path, never imported.

``python elsewhere.py FOLDER MODULE ARGUMENTS…``: FOLDER holds the packages that Slipway itself depends on. They
come after that environment's own, which was made for its large libraries.
"""

from __future__ import annotations

import runpy
import sys


def main() -> None:
    folder, module, *arguments = sys.argv[1:]
    sys.path.append(folder)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
