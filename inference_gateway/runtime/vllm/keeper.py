"""The process around vLLM's server: run by its path, standard library only, in a process group of its own.

vLLM is several processes that end each other with SIGTERM, and a stop sends that signal to all processes of an
instance while answers are still being finished. So it is blocked here and, as a mask is inherited, in all of them
(``deaf`` keeps it so). They end with this process, and that at the end of its standard input: with the runtime.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

READY_LINE = "ready"
_POLL_SECONDS = 0.2


def main(argument: str) -> None:
    """``argument`` is a JSON object: command, socket (that it will answer at), folder (to be removed at the end),
    descriptor (of the folder, which the socket's path may go by), parent.
    """
    settings = json.loads(argument)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    threading.Thread(target=end_at_end_of_input, args=(settings["folder"],), daemon=True).start()
    if os.getppid() != settings["parent"]:  # It ended before the line above could notice.
        end_group(settings["folder"])
    # Its log is ours, standard output is for the one line that says it is ready.
    server = subprocess.Popen(
        settings["command"],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        pass_fds=(settings["descriptor"],),
    )
    threading.Thread(target=tell_when_ready, args=(settings["socket"],), daemon=True).start()
    code = server.wait()
    sys.stderr.flush()
    # What it started may outlive it.
    leave_nothing(code)


def tell_when_ready(path: str) -> None:
    while not is_healthy(path):
        time.sleep(_POLL_SECONDS)
    sys.stdout.write(f"{READY_LINE}\n")
    sys.stdout.flush()


def is_healthy(path: str) -> bool:
    connection = http.client.HTTPConnection("engine", timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    return False


def end_at_end_of_input(folder: str) -> None:
    """Standard input is a pipe that nobody writes to: it ends with the runtime, however that ends."""
    sys.stdin.buffer.read()
    end_group(folder)


def end_group(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def leave_nothing(code: int) -> None:
    """End with vLLM's own code, after the others of the group: a group cannot be killed without oneself."""
    own = os.getpid()
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError, ValueError):
            if os.getpgid(int(name)) == own and int(name) != own:
                os.kill(int(name), signal.SIGKILL)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main(sys.argv[1])
