"""The engine's private socket, wherever the instance's folder lies."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inference_gateway.runtime.engine_host import name_socket


def test_a_socket_lies_in_its_folder() -> None:
    assert name_socket(Path("/data/tmp"), 7) == "/data/tmp/engine.sock"


@pytest.mark.skipif(sys.platform != "linux", reason="descriptors have paths on Linux only")
def test_a_socket_too_deep_for_its_path_is_reached_by_the_folder_s_descriptor() -> None:
    deep = Path("/data").joinpath(*["a-long-name-of-a-folder"] * 6)
    assert name_socket(deep, 7) == "/proc/self/fd/7/engine.sock"
