"""What a web chat's answer becomes whose server dies or stops in order."""

from __future__ import annotations

import os
import signal

import pytest
import redis

from inference_gateway.models import Turn
from tests.inference_gateway.raw_engine import HEAD, RawEngine
from tests.inference_gateway.raw_engine import Turn as RawTurn
from tests.inference_gateway.rig import EndlessEngine, Server, deploy
from tests.inference_gateway.webchat_client import is_idle, make_person, only_turn, open_page
from tests.waiting import wait_until

pytestmark = pytest.mark.backends


def test_a_server_that_dies_leaves_an_interrupted_turn_with_its_text(endless: EndlessEngine, server: Server) -> None:
    own = Server()
    own.start()
    try:
        service = deploy(own, endless.port)
        person = make_person("vera", service.row.workspace)
        with open_page(own, person, service.row.name) as page:
            conversation = page.ask("Survive.")
            page.hear_words(5)
            wait_until(lambda: only_turn().answer.count("word") > 5, "the text is saved", 10)
            own.kill()
        own.start()
        wait_until(lambda: only_turn().status == Turn.Status.INTERRUPTED, "the turn is interrupted", 15)
        assert only_turn().answer.startswith("word word")
        with open_page(own, person, service.row.name) as page:
            page.say(type="watch", conversation=conversation, turn=1, offset=100_000)
            assert page.hear_type("end")["status"] == "interrupted"
    finally:
        own.kill()


def test_a_server_that_dies_leaves_the_text_that_no_row_has_yet(server: Server, valkey: redis.Redis) -> None:
    async def write_three_words(turn: RawTurn) -> None:
        await turn.send(HEAD)
        for _ in range(3):
            await turn.send_chunk('data: {"choices":[{"index":0,"delta":{"content":"wörd 世"}}]}\n\n'.encode())
        await turn.wait_closed()

    own = Server()
    own.start()
    try:
        with RawEngine(write_three_words) as engine:
            service = deploy(own, engine.port)
            with open_page(own, make_person("vera", service.row.workspace), service.row.name) as page:
                page.ask("Survive.")
                wait_until(lambda: page.hear_type("text") and page.text == "wörd 世" * 3, "it is shown", 10)
                key = f"slipway:turn:{only_turn().generation}:text"
                wait_until(lambda: valkey.get(key) == page.text.encode(), "it is stored", 1.0)
                assert only_turn().answer == ""
                own.kill()
        own.start()
        wait_until(lambda: only_turn().status == Turn.Status.INTERRUPTED, "the turn is interrupted", 15)
        assert only_turn().answer == "wörd 世" * 3
    finally:
        own.kill()


def test_a_server_that_stops_in_order_records_what_it_was_writing(endless: EndlessEngine, server: Server) -> None:
    own = Server()
    own.start()
    try:
        service = deploy(own, endless.port)
        with open_page(own, make_person("vera", service.row.workspace), service.row.name) as page:
            page.ask("Until the end.")
            page.hear_words(5)
            assert own.process is not None
            os.kill(own.process.pid, signal.SIGTERM)
            own.process.wait(20)
        turn = only_turn()
        assert turn.status == Turn.Status.INTERRUPTED
        assert turn.answer.count("word") >= 5
        assert is_idle(endless)
    finally:
        own.kill()
