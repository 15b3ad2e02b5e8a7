"""The parent of one instance's program: ``python -I -S shim.py FOLDER``.

Exits 0 once a process of its own session holds the folder's lock and goes on alone; 3 when another one holds
it, 4 when the folder has nothing to run. Isolated mode finds no installed package and no user's file, so a
shim starts fast and depends on the standard library alone.
"""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "..")))

from deployments.clusters.local import folder as files
from deployments.clusters.local.keeper import Keeper
from deployments.clusters.local.processes import kill_all, leftovers
from deployments.clusters.local.program import become_subreaper

LOCKED, NOTHING_TO_RUN = 3, 4
LOCK_PATIENCE_SECONDS = 1.0


def main(folder: str) -> int:
    """Take the lock, go on in the background, keep the program."""
    launch = files.find_launch(folder)
    state = files.find_state(folder)
    if launch is None or state.get("phase") == files.ENDED:
        return NOTHING_TO_RUN
    lock = files.find_lock(os.path.join(folder, files.LOCK), LOCK_PATIENCE_SECONDS)
    if lock is None:
        return LOCKED
    state = files.find_state(folder)  # again: it may have been written before the lock was ours
    if state.get("phase") in ("Running", "Stopping"):
        # Ours is the lock that says "alive" now: what ran under an earlier shim must not look alive with it.
        files.write_json(os.path.join(folder, files.STATE), state | {"phase": "Creating"})
    if os.fork() > 0:
        os._exit(0)  # who started us need not be our parent; the lock passes to the child
    os.setsid()
    os.chdir("/")
    become_subreaper()
    if state and not kill_all(lambda: remains(folder, state)):
        sys.stderr.write("Processes of an earlier shim could not be killed.\n")  # goes to shim.log
    Keeper(folder, launch, state).run()
    return 0


def remains(folder: str, state: files.State) -> list[int]:
    return leftovers(folder, state.get("program_pid", 0), state.get("program_start", ""), state.get("boot_id", ""))


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
