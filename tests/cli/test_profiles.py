"""The file of profiles, and which Slipway a command means."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from console.cli import profiles
from console.cli.errors import CliError, ExitCode
from console.cli.profiles import DEFAULT_URL, Given, Profile, Profiles, resolve

WORK = Profile("https://slipway.example.com", "slp_work", region="eu", workspace="research")


def test_profiles_come_back_as_they_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "slipway" / "profiles.ini"
    saved = Profiles().with_profile("default", Profile(DEFAULT_URL, "slp_%(x)s")).with_profile("work", WORK)
    profiles.save(path, saved)
    assert profiles.load(path) == saved
    assert saved.current == "work"


def test_nobody_else_can_read_the_file_not_even_after_a_change(tmp_path: Path) -> None:
    path = tmp_path / "slipway" / "profiles.ini"
    previous = os.umask(0)
    try:
        profiles.save(path, Profiles().with_profile("default", WORK))
        path.chmod(0o644)
        assert profiles.is_readable_for_others(path)
        profiles.save(path, Profiles().with_profile("default", WORK))
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    profiles.save(tmp_path / "link", Profiles().with_profile("default", WORK))
    assert (tmp_path / "link").is_symlink()
    assert profiles.load(tmp_path / "real").get("default") == WORK


def test_no_file_is_no_profiles(tmp_path: Path) -> None:
    assert profiles.load(tmp_path / "none") == Profiles()


@pytest.mark.parametrize(
    "text", ["url = x", "[profile a]\nurl", "[profile a]\ntoken = x", "[profile a]\nurl = ftp://x", "\xff"]
)
def test_a_damaged_file_is_one_sentence_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.ini"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(CliError) as caught:
        profiles.load(path)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "\n" not in caught.value.line()


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        ("", ".config/slipway/profiles.ini"),
        ("relative", ".config/slipway/profiles.ini"),
        ("/x", "/x/slipway/profiles.ini"),
    ],
)
def test_the_file_lies_where_xdg_says(variable: str, expected: str) -> None:
    assert profiles.default_path({"XDG_CONFIG_HOME": variable}) == Path.home() / expected


def test_options_win_over_the_profile() -> None:
    stored = Profiles("work", {"work": WORK})
    found = resolve(Given(token="slp_other", region="us"), stored)
    assert found == Profile(WORK.url, "slp_other", "us", "research")


def test_a_profiles_token_is_never_sent_to_another_address() -> None:
    stored = Profiles("work", {"work": WORK})
    with pytest.raises(CliError) as caught:
        resolve(Given(url="https://elsewhere.example.com"), stored)
    assert caught.value.code == "no_token"
    assert resolve(Given(url="https://slipway.example.com/"), stored).token == WORK.token


def test_an_unknown_profile_is_told_with_those_there_are() -> None:
    with pytest.raises(CliError, match="work"):
        resolve(Given(profile="play"), Profiles("work", {"work": WORK}))


def test_the_first_profile_left_takes_over_from_one_that_is_removed() -> None:
    stored = Profiles("work", {"home": WORK, "work": WORK})
    assert stored.without("work").current == "home"
    assert stored.without("home").current == "work"


@pytest.mark.parametrize(
    "value", ["", "host:8000", "ftp://h", "http://u:p@h", "http://h?q", "http://h:x", "http://h h"]
)
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(CliError):
        profiles.check_url(value)


def test_an_address_may_be_copied_from_anywhere() -> None:
    assert profiles.check_url(" https://h:8443/api/v2/ ") == "https://h:8443"


def test_a_token_does_not_show_in_the_representation() -> None:
    assert "slp_work" not in repr(WORK)
