"""``-D`` and documents from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from console.cli.definitions import (
    changes,
    needs_the_document,
    parse_definition,
    read_document,
    with_definitions,
)
from console.cli.errors import CliError

DOCUMENT = {
    "metadata": {"name": "a", "instance": 1},
    "containers": [{"image": "x", "env": [{"name": "A", "value": "1"}]}],
}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("metadata.instance=10", ("metadata", "instance"), 10),
        ("metadata.name=chat", ("metadata", "name"), "chat"),
        ('metadata.name="10"', ("metadata", "name"), "10"),
        ("metadata.rpc.batching=true", ("metadata", "rpc", "batching"), True),
        ("labels.a=b=c", ("labels", "a"), "b=c"),
        ("labels.a=", ("labels", "a"), ""),
        (r"metadata.eas\.termination_grace_period=5", ("metadata", "eas.termination_grace_period"), 5),
        ("containers[0].env[1].value=x", ("containers", 0, "env", 1, "value"), "x"),
        ('networking={"gateway": "g"}', ("networking",), {"gateway": "g"}),
    ],
)
def test_a_definition_is_a_path_and_a_value(text: str, path: tuple[str | int, ...], value: Any) -> None:
    found = parse_definition(text)
    assert (found.path, found.value) == (path, value)


@pytest.mark.parametrize("text", ["", "a", "=1", "a..b=1", "[0]=1", "a[x]=1", "a[0]b=1", "a[99999]=1"])
def test_what_is_no_definition_is_refused(text: str) -> None:
    with pytest.raises(CliError):
        parse_definition(text)


def test_only_the_values_are_sent_where_no_list_is_touched() -> None:
    definitions = [parse_definition("metadata.instance=2"), parse_definition("labels.team=a")]
    assert not needs_the_document(definitions)
    assert changes(DOCUMENT, definitions) == {"metadata": {"instance": 2}, "labels": {"team": "a"}}


def test_a_list_is_sent_whole_with_every_change_in_it() -> None:
    definitions = [parse_definition("containers[0].env[1].name=B"), parse_definition("containers[0].image=y")]
    assert needs_the_document(definitions)
    assert changes(DOCUMENT, definitions) == {
        "containers": [{"image": "y", "env": [{"name": "A", "value": "1"}, {"name": "B"}]}]
    }


def test_an_element_far_behind_the_end_is_refused() -> None:
    with pytest.raises(CliError, match="has 1"):
        with_definitions(DOCUMENT, [parse_definition("containers[2].image=y")])


def test_the_document_given_stays_as_it_is() -> None:
    before = str(DOCUMENT)
    with_definitions(DOCUMENT, [parse_definition("containers[0].env[0].value=2")])
    assert str(DOCUMENT) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [("s.json", '\ufeff{"metadata": {"name": "a"}}'), ("s.yaml", "metadata: {name: a}"), ("s", "metadata:\n  name: a")],
)
def test_json_and_yaml_are_read(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_document(str(tmp_path / name)) == {"metadata": {"name": "a"}}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.json", '{"a": 1,\n "b" 2}', "line 2"),
        ("a.yaml", "a: 1\nb: [", "line 2"),
        ("a.json", "[]", "object"),
        ("b", "", "object"),
    ],
)
def test_a_wrong_file_is_told_with_the_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CliError, match=told):
        read_document(str(tmp_path / name))


def test_a_missing_file_is_told() -> None:
    with pytest.raises(CliError, match="No such file"):
        read_document("/nowhere/x.json")
