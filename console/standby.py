"""A server process that has loaded everything before it is needed: one that is killed has its place taken at once.

    python -m console.standby console.asgi:application <uvicorn's options>

It waits for a line on standard input, which names the log that its words go to from then on, and then is what
``python -m uvicorn`` with these arguments would be. Where the input ends without a line, whoever started it has gone.
"""

from __future__ import annotations

import os
import sys

import uvicorn

import console.asgi  # noqa: F401 - most of what a server's start takes


def main() -> None:
    log = sys.stdin.buffer.readline().rstrip(b"\n")
    if not log:
        return
    nothing = os.open(os.devnull, os.O_RDONLY)
    words = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for opened, known in ((nothing, 0), (words, 1), (words, 2)):
        os.dup2(opened, known)
    os.close(nothing)
    os.close(words)
    uvicorn.main()


if __name__ == "__main__":
    main()
