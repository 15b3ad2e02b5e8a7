"""A dialogue against a server that answers as it is told: what is sent, what is read, what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from console.cli.dialogue import Dialogue, Endpoint, Piece, Statistics, read_pieces, refusal
from console.cli.errors import CliError
from tests.cli.conftest import Scripted


@pytest.fixture
def dialogue(server: Scripted) -> Iterator[Dialogue]:
    one = Dialogue(Endpoint(f"http://127.0.0.1:{server.server_port}/api/predict/chat", "token"), system="Be brief.")
    yield one
    one.close()


def frame(**delta: str) -> str:
    return f"data: {json.dumps({'choices': [{'delta': delta, 'finish_reason': None}]})}\n\n"


def error(code: str) -> str:
    return json.dumps({"error": {"message": "No.", "code": code}})


def said(dialogue: Dialogue, question: str) -> str:
    return "".join(piece.text for piece in dialogue.ask(question))


END = 'data: {"choices": [], "usage": {"completion_tokens": 7}}\n\ndata: [DONE]\n\n'


def test_the_dialogue_so_far_goes_with_every_question(server: Scripted, dialogue: Dialogue) -> None:
    server.answers = [(200, frame(content="An") + frame(content="swer") + END), (200, frame(content="B") + END)]
    assert said(dialogue, "first") == "Answer"
    assert said(dialogue, "second") == "B"
    assert server.asked[1]["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "Answer"},
        {"role": "user", "content": "second"},
    ]
    assert dialogue.statistics.tokens == 7


def test_the_oldest_rounds_are_left_out_where_the_model_has_no_room(server: Scripted, dialogue: Dialogue) -> None:
    dialogue.rounds = [("a", "b"), ("c", "d")]
    server.answers = [(400, error("context_length_exceeded")), (200, frame(content="x") + END)]
    assert said(dialogue, "q") == "x"
    assert dialogue.left_out == 1
    assert [one["content"] for one in server.asked[1]["messages"]] == ["Be brief.", "c", "d", "q"]
    assert dialogue.rounds[0] == ("a", "b")  # still shown to the person, and tried again with a shorter question


def test_a_token_that_was_rotated_meanwhile_is_looked_up_again(server: Scripted, dialogue: Dialogue) -> None:
    renewed = Endpoint(dialogue.endpoint.url, "new")
    patient = Dialogue(dialogue.endpoint, renew=lambda: renewed)
    server.answers = [(401, error("Unauthorized")), (200, frame(content="x") + END), (401, error("Unauthorized"))]
    assert said(patient, "q") == "x"
    assert server.tokens == ["Bearer token", "Bearer new"]
    with pytest.raises(CliError) as caught:  # and once only: the new one may be wrong too
        said(patient, "q")
    assert caught.value.code == "Unauthorized"
    patient.close()


def test_a_question_too_long_alone_is_the_servers_sentence(server: Scripted, dialogue: Dialogue) -> None:
    dialogue.rounds = [("a", "b")]
    server.answers = [(400, error("context_length_exceeded"))] * 2
    with pytest.raises(CliError) as caught:
        said(dialogue, "q")
    assert caught.value.code == "context_length_exceeded"
    assert dialogue.rounds == [("a", "b")]


def test_what_came_before_an_error_is_kept(server: Scripted, dialogue: Dialogue) -> None:
    server.answers = [(200, frame(content="half") + f"data: {error('engine_stream_broken')}\n\n")]
    with pytest.raises(CliError) as caught:
        said(dialogue, "q")
    assert caught.value.code == "engine_stream_broken"
    assert dialogue.rounds == [("q", "half")]


def test_an_answer_that_is_closed_early_keeps_what_was_said(server: Scripted, dialogue: Dialogue) -> None:
    server.answers = [(200, frame(content="one") + frame(content="two") + END)]
    answer = dialogue.ask("q")
    next(answer)
    answer.close()
    assert dialogue.rounds == [("q", "one")]


def test_a_stream_without_its_end_broke_off() -> None:
    with pytest.raises(CliError) as caught:
        list(read_pieces(frame(content="x").splitlines(), Statistics()))
    assert caught.value.code == "broken_off"


def test_thoughts_are_kept_apart_from_the_answer() -> None:
    lines = (frame(reasoning_content="hm") + ": comment\n\n" + frame(content="x") + END).splitlines()
    assert list(read_pieces(lines, Statistics())) == [Piece(thought="hm"), Piece("x")]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (error("model_not_found"), "model_not_found"),
        ('{"code": "no_healthy_upstream", "message": "x"}', "no_healthy_upstream"),
        ('{"error": "x"}', "503"),
        ("<html>", "503"),
        ("", "503"),
    ],
)
def test_every_shape_of_an_error_is_a_sentence_and_a_code(body: str, code: str) -> None:
    found = refusal(503, body.encode())
    assert found.code == code
    assert found.message
