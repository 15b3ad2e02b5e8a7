"""A slow way to a server that is fast: bytes come no faster than at a rate, over all connections together."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

PIECE = 64 * 1024


class SlowLink:
    """Takes connections at ``host`` and passes them on to ``address``. Use once."""

    def __init__(self, host: str, address: tuple[str, int], bytes_per_second: float) -> None:
        self._listener = socket.create_server((host, 0))
        self._address = address
        self._rate = bytes_per_second
        self._lock = threading.Lock()
        self._free_at = 0.0
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Until ``close``."""
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._address)
            except OSError:
                return
            for source, target, is_slow in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass, args=(source, target, is_slow), daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _pass(self, source: socket.socket, target: socket.socket, is_slow: bool) -> None:
        with contextlib.suppress(OSError), source, target:
            while piece := source.recv(PIECE):
                if is_slow:
                    time.sleep(self._turn(len(piece)))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _turn(self, size: int) -> float:
        """Seconds until it is this piece's turn."""
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            return self._free_at - now


@contextlib.contextmanager
def slow_link(host: str, address: tuple[str, int], bytes_per_second: float) -> Iterator[int]:
    """Its port."""
    link = SlowLink(host, address, bytes_per_second)
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    try:
        yield link.port
    finally:
        link.close()
        thread.join(10)
