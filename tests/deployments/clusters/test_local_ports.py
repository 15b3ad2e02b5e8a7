"""Ports are claimed by one holder at a time, and never ones that others use."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from deployments.clusters.local import ports
from deployments.clusters.local.ports import FIRST_PORT, LAST_PORT, NoPort, claim, claims_folder


def test_claims_lie_in_the_range_and_differ(tmp_path: Path) -> None:
    claims = [claim(str(tmp_path)) for _ in range(30)]

    found = {port for port, _ in claims}
    for _, descriptor in claims:
        os.close(descriptor)
    assert len(found) == 30
    assert all(FIRST_PORT <= port <= LAST_PORT for port in found)


def test_the_preferred_port_is_given_while_nobody_holds_it(tmp_path: Path) -> None:
    first, held = claim(str(tmp_path))

    second, other = claim(str(tmp_path), preferred=first)
    assert second != first
    os.close(held)
    third, again = claim(str(tmp_path), preferred=first)
    assert third == first
    os.close(other)
    os.close(again)


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_another_program_listens_on_is_skipped(tmp_path: Path, address: str) -> None:
    busy, held = claim(str(tmp_path))
    with socket.socket() as listener:
        listener.bind((address, busy))
        listener.listen()
        os.close(held)

        port, descriptor = claim(str(tmp_path), preferred=busy)

    os.close(descriptor)
    assert port != busy


def test_no_free_port_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only, held = claim(str(tmp_path))
    monkeypatch.setattr(ports, "FIRST_PORT", only)
    monkeypatch.setattr(ports, "LAST_PORT", only)

    with pytest.raises(NoPort):
        claim(str(tmp_path))
    os.close(held)


def test_the_folder_of_claims_is_its_owners_alone(tmp_path: Path) -> None:
    folder = claims_folder(str(tmp_path))
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert claims_folder(str(tmp_path)) == folder

    os.chmod(folder, 0o777)
    with pytest.raises(NoPort):
        claims_folder(str(tmp_path))


def test_a_link_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    os.symlink("/tmp", tmp_path / f"slipway-ports-{os.getuid()}")

    with pytest.raises(NoPort):
        claims_folder(str(tmp_path))
