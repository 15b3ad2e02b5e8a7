"""``slipway`` as a person uses it, with a real server and the real model: from config to delete."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.environment import REPOSITORY
from tests.slipway_client import PASSWORD
from tests.slipway_process import SlipwayProcess, process_environment
from tests.waiting import stretch

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(300)]
COMMAND = (sys.executable, "-m", "console.cli")


class Person:
    """Somebody at a shell, with a configuration folder of their own."""

    def __init__(self, slipway: SlipwayProcess, folder: Path) -> None:
        self.slipway = slipway
        self.environment = process_environment(
            XDG_CONFIG_HOME=str(folder), PYTHONPATH=str(REPOSITORY), NO_COLOR="1", TERM="xterm"
        )

    def run(self, *arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=REPOSITORY,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "-o", "json").stdout)


class Terminal:
    """A command in a terminal: type, and read until something appears."""

    def __init__(self, person: Person, *arguments: str) -> None:
        self.pid, self.handle = pty.fork()
        if self.pid == 0:
            os.chdir(REPOSITORY)
            os.execvpe(COMMAND[0], [*COMMAND, *arguments], person.environment)
        self.read = ""

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def until(self, pattern: str, timeout_seconds: float = 60.0) -> str:
        """What appeared up to and with the pattern."""
        deadline = time.monotonic() + timeout_seconds * stretch()
        while not (found := re.search(pattern, self.read)):
            assert time.monotonic() < deadline, f"{pattern} did not appear in {self.read!r}"
            if select.select([self.handle], [], [], 0.2)[0]:
                try:
                    self.read += os.read(self.handle, 65536).decode(errors="replace")
                except OSError:  # the terminal's other end is closed
                    raise AssertionError(f"it ended without {pattern}: {self.read!r}") from None
        seen, self.read = self.read[: found.end()], self.read[found.end() :]
        return seen

    def end(self) -> int:
        """Wait for its end; the exit code."""
        deadline = time.monotonic() + 30 * stretch()
        while time.monotonic() < deadline:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.handle], [], [], 0.1)[0]:
                try:
                    os.read(self.handle, 65536)
                except OSError:
                    pass
        raise AssertionError("it did not end")


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """Signed in to a running Slipway with a service named chat."""
    folder = tmp_path_factory.mktemp("cli")
    # Nobody tells the command line the region: it has to find out.
    running = SlipwayProcess(folder / "data", SLIPWAY_ADMIN_PASSWORD=PASSWORD, SLIPWAY_REGION="harbour")
    try:
        running.start()
        one = Person(running, folder / "config")
        one.run("config", "--url", running.address, "--user", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
        one.run("create", "--model", "SmolLM2-135M-Instruct", "--name", "chat")
        yield one
    finally:
        running.end_everything()


def test_create_says_where_it_is_how_far_and_when_it_runs(person: Person, tmp_path: Path) -> None:
    document = json.loads(person.json("desc", "chat")["ServiceConfig"])
    document["metadata"]["name"] = "fresh"
    (tmp_path / "service.json").write_text(json.dumps(document))
    told = person.run("create", str(tmp_path / "service.json")).stdout
    assert told.startswith("RequestId: ")
    assert f"{person.slipway.address}/api/predict/fresh" in told
    assert re.search(r"usually .* by 1 earlier run of services like it", told)
    assert re.search(r"^\[OK\] (Creating|Waiting) \[Total: 1, Pending: 1, Running: 0\]", told, re.MULTILINE)
    assert told.endswith("[OK] Service is running\n")
    refused = person.run("delete", "fresh", code=1)
    assert "not_confirmed" in refused.stderr
    assert "Service was deleted successfully" in person.run("delete", "fresh", stdin="y\n").stdout
    assert "(ServiceNotFound)" in person.run("desc", "fresh", code=1).stderr


def test_the_profile_holds_a_token_and_no_password(person: Person) -> None:
    text = Path(person.environment["XDG_CONFIG_HOME"], "slipway", "profiles.ini").read_text()
    assert "slp_" in text
    assert PASSWORD not in text


def test_lists_are_tables_and_json(person: Person) -> None:
    header, row = person.run("ls").stdout.splitlines()
    assert header.split() == [
        "SERVICENAME", "REGION", "INSTANCE", "CREATETIME", "UPDATETIME", "STATUS", "WEIGHT", "SERVICEPATH",
    ]  # fmt: skip
    assert row.split()[:2] == ["chat", "harbour"]
    assert row.split()[-1] == "/api/predict/chat"
    assert person.json("ls")["Services"][0]["ServiceName"] == "chat"
    assert person.run("ls", "-q").stdout == "chat\n"


def test_what_a_service_is_and_does_can_be_seen(person: Person) -> None:
    described = person.run("desc", "chat").stdout
    assert "SmolLM2-135M-Instruct" in described
    assert person.json("desc", "chat")["AccessToken"] in described
    assert "[1/1]" in person.run("w", "chat").stdout
    assert person.json("events", "chat")["Events"][0]["Code"] == "Created"
    assert "is served on" in person.run("logs", "chat").stdout
    assert person.run("logs", "chat", "--all").stdout == "".join(
        f"{line}\n" for line in person.json("logs", "chat", "--all")["Logs"]
    )


def test_a_question_on_the_command_line_is_answered_and_nothing_else(person: Person) -> None:
    done = person.run("chat", "chat", "--temperature", "0", "What is the capital of France?")
    assert "Paris" in done.stdout
    assert done.stderr == ""
    assert person.run("chat", "chat", "--max-tokens", "5", stdin="Hello").stdout.strip()


def test_invoke_carries_one_request_as_it_is(person: Person) -> None:
    body = json.dumps({"prompt": "Hello", "use_stream_chat": False})
    assert json.loads(person.run("invoke", "chat", "-d", body).stdout)["response"]
    assert json.loads(person.run("invoke", "chat", "v1/models").stdout)["data"][0]["id"] == "chat"
    failed = person.run("invoke", "chat", "no/such/path", code=1)
    assert json.loads(failed.stdout)["code"] == "path_not_found"
    assert failed.stderr.endswith("(http_404)\n")


def test_changes_wait_for_their_end_and_keep_to_their_kind(person: Person) -> None:
    scaled = person.run("modify", "chat", "-Dmetadata.instance=2").stdout
    assert "[OK] Scaling" in scaled
    assert person.json("desc", "chat")["LatestVersion"] == 1
    changed = person.run("modify", "chat", "-Dcontainers[0].env[0].name=A", "-Dcontainers[0].env[0].value=b").stdout
    assert changed.endswith("[OK] Service is running\n")
    found = person.json("desc", "chat")
    assert found["CurrentVersion"] == 2
    assert json.loads(found["ServiceConfig"])["containers"][0]["env"] == [{"name": "A", "value": "b"}]
    person.run("version", "chat", "1")
    assert [one["Current"] for one in person.json("version", "chat")["Versions"]] == [False, True]
    wrong = person.run("modify", "chat", "-Dmetadata.cpu=-1", code=1)
    assert len(wrong.stderr.splitlines()) == 1
    assert "metadata.cpu" in wrong.stderr
    person.run("modify", "chat", "-Dmetadata.instance=1")


def test_a_service_is_stopped_and_started(person: Person) -> None:
    assert person.run("stop", "chat").stdout.endswith("[OK] Service is stopped\n")
    assert "(not_running)" in person.run("chat", "chat", "Hello", code=1).stderr
    assert "(stopped)" in person.run("restart", "chat", code=1).stderr
    assert person.run("start", "chat").stdout.endswith("[OK] Service is running\n")


def test_a_service_is_released_into_its_group(person: Person, tmp_path: Path) -> None:
    document = tmp_path / "member.json"
    metadata = {"name": "member", "instance": 0, "group": "team"}
    document.write_text(json.dumps({"metadata": metadata, "containers": [{"image": "any:1", "script": "true"}]}))
    person.run("create", str(document), "--no-wait")
    said = person.run("release", "member", "--state", "grouping", "--weight", "40").stdout
    assert "with weight [40]" in said
    found = person.json("desc", "member")
    assert (found["ServiceGroup"], found["TrafficState"], found["Weight"]) == ("team", "grouping", 40)
    assert re.search(r"TrafficState +\| grouping", person.run("desc", "member").stdout)
    person.json("release", "member", "--weight", "-1")
    assert person.json("desc", "member")["Weight"] == -1
    assert "(no_group)" in person.run("release", "chat", "--weight", "1", code=1).stderr
    person.run("delete", "member", "-y")


def test_a_service_that_fails_is_told_with_cause_and_cure(person: Person, tmp_path: Path) -> None:
    document = {
        "metadata": {"name": "bad", "instance": 1, "cpu": 1, "memory": 256},
        "containers": [{"image": "any", "command": "sh -c 'echo oops; exit 3'", "port": 8000}],
    }
    (tmp_path / "bad.json").write_text(json.dumps(document))
    told = person.run("create", str(tmp_path / "bad.json"), code=1).stderr
    assert re.fullmatch(r"slipway: The program ended with an error\. .*Read the log.* \(CrashLoopBackOff\)\n", told)
    person.run("delete", "-y", "bad")


def test_time_that_is_up_has_its_own_code(person: Person) -> None:
    person.run("restart", "chat", "--timeout", "1", code=3)
    person.run("start", "chat")


def test_names_are_completed(person: Person) -> None:
    for line, expected in (
        ("slipway desc ch", "plain,chat"),
        ("slipway version chat ", "plain,1"),
        ("slipway logs chat --instance chat-r", "plain,chat-r"),
    ):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_SLIPWAY_COMPLETE": "bash_complete"}
        environment = person.environment | words
        done = subprocess.run(
            COMMAND, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert expected in done.stdout, f"{line}: {done.stdout} {done.stderr}"


def test_a_log_is_followed_until_ctrl_c(person: Person) -> None:
    terminal = Terminal(person, "logs", "chat", "-f", "-n", "1000")
    terminal.until("is served on")
    terminal.type("\x03")
    assert terminal.end() == 130


def test_a_terminal_shows_what_is_left_of_the_wait(person: Person) -> None:
    terminal = Terminal(person, "restart", "chat")
    terminal.until(r"This usually takes .* by \d+ earlier run")
    terminal.until(r"about \d+ s left\. \w+|longer than the usual")
    terminal.until(r"\[OK\] Service is running")
    assert terminal.end() == 0


def test_a_dialogue_in_a_terminal(person: Person) -> None:
    terminal = Terminal(person, "chat", "chat", "--temperature", "0")
    terminal.until(">>> ")
    terminal.type("What is the capital of France?\n")
    assert "Paris" in terminal.until(r"tokens/s.*\]")
    terminal.until(">>> ")
    # Ctrl-C stops an answer that would take long, and the dialogue goes on.
    terminal.type("Write a very long story about a ship, with at least ten chapters.\n")
    terminal.until(r"chapters\.\r\n")
    terminal.until(r"\w+ \w+ \w+")
    terminal.type("\x03")
    terminal.until("Stopped")
    terminal.until(">>> ")
    # At the prompt it only empties the line.
    terminal.type("not to be sent")
    terminal.until("not to be sent")
    terminal.type("\x03")
    terminal.until("Ctrl-D leaves")
    terminal.until(">>> ")
    terminal.type("/nothing\n")
    terminal.until("There is no /nothing")
    terminal.until(">>> ")
    terminal.type("\x04")
    assert terminal.end() == 0
