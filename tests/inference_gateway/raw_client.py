"""Clients whose bytes are written in the test: for what no well-behaved client sends."""

from __future__ import annotations

import socket
import time

from tests.inference_gateway.rig import Server


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def render(path: str, token: str, body: bytes = b"", headers: str = "", method: str = "POST") -> bytes:
    """A request as it ought to be."""
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\n{headers}"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode("latin-1") + body


def read_to_end(connection: socket.socket, seconds: float = 20) -> bytes:
    """Everything until the server closes. Fails where it does not within ``seconds``."""
    connection.settimeout(0.5)
    data, deadline = b"", time.monotonic() + seconds
    while True:
        try:
            piece = connection.recv(65536)
        except TimeoutError:
            assert time.monotonic() < deadline, f"the server did not close the connection: {data[-500:]!r}"
            continue
        except ConnectionError:
            return data
        if not piece:
            return data
        data += piece


def talk(server: Server, data: bytes) -> bytes:
    """Send it and read until the server closes."""
    with connect(server) as connection:
        connection.sendall(data)
        return read_to_end(connection)
