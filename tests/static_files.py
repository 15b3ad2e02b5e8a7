"""The pages' bundles and collected files, which every Slipway of this checkout serves from one place."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from console.environment import REPOSITORY
from tests.programs import require_program
from tests.slipway_process import process_environment


def build_static_files(data_dir: Path) -> None:
    """What ``make run`` does for the pages: bundle, then collect under hashed names.

    Once in a test run, though several processes of it may ask at the same time.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    stamp = REPOSITORY / "static" / ".built-by"
    with stamp.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if file.read() == run:
            return
        node = require_program("node")
        subprocess.run([node, "static/build.mjs"], cwd=REPOSITORY, check=True, capture_output=True)
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--noinput", "--verbosity", "0"],
            cwd=REPOSITORY,
            env=process_environment(SLIPWAY_DATA_DIR=str(data_dir)),
            check=True,
            capture_output=True,
        )
        file.truncate(0)
        file.write(run)
