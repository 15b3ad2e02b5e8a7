"""Settings from environment variables: what is accepted, what is refused and how, what follows from them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from console.data_folder import DataFolderError, load_secret_key, prepare_data_folder, prepare_socket_folder
from console.environment import REPOSITORY, Environment, EnvironmentError_, render_settings_table
from tests.slipway_process import process_environment


def problems_of(**variables: str) -> list[str]:
    with pytest.raises(EnvironmentError_) as caught:
        Environment.parse(variables)
    return caught.value.problems


def test_nothing_set_gives_the_documented_defaults() -> None:
    environment = Environment.parse({})
    assert (environment.host, environment.port) == ("127.0.0.1", 8000)
    assert environment.data_dir == REPOSITORY / "var"
    assert environment.database_file == REPOSITORY / "var" / "db.sqlite3"
    assert environment.has_embedded_valkey
    assert environment.redis_url == f"unix://{REPOSITORY}/var/valkey.sock"
    assert environment.celery_broker_url == f"redis+socket://{REPOSITORY}/var/valkey.sock"
    assert (environment.cluster, environment.region, environment.local_commands) == ("local", "local", "any")
    assert environment.address == "http://127.0.0.1:8000"


def test_an_empty_value_counts_as_unset() -> None:
    assert Environment.parse({"SLIPWAY_PORT": " ", "REDIS_URL": ""}) == Environment.parse({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SLIPWAY_PORT", "0"),
        ("SLIPWAY_PORT", "65536"),
        ("SLIPWAY_PORT", "80a"),
        ("SLIPWAY_PORT", "tcp://10.0.0.1:8000"),
        ("SLIPWAY_HOST", "http://localhost"),
        ("SLIPWAY_HOST", "127.0.0.1:8000"),
        ("SLIPWAY_HOST", "1.2.3.400"),
        ("SLIPWAY_SECRET_KEY", "short"),
        ("DATABASE_URL", "mysql://u:p@h/db"),
        ("DATABASE_URL", "postgres://u:p@h:port/db"),
        ("DATABASE_URL", "postgres://u:p@h:5432"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://"),
        ("REDIS_URL", "redis://host/name"),
        ("REDIS_URL", "unix://"),
        ("SLIPWAY_CLUSTER", "swarm"),
        ("SLIPWAY_NAMESPACE", "Not_A_Label"),
        ("SLIPWAY_POD_ACCESS", "tunnel"),
        ("SLIPWAY_IMAGES", "chat-llm-webui"),
        ("SLIPWAY_IMAGE_PULL_SECRETS", "one,Two_"),
        ("SLIPWAY_REGION", "cn hangzhou"),
        ("SLIPWAY_PUBLIC_URL", "slipway.example.com"),
        ("SLIPWAY_PUBLIC_URL", "https://slipway.example.com/console"),
        ("SLIPWAY_LOCAL_COMMANDS", "none"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_the_setting(name: str, value: str) -> None:
    (problem,) = problems_of(**{name: value})
    assert problem.startswith(name)
    assert "\n" not in problem


def test_all_wrong_settings_are_told_at_once() -> None:
    told = problems_of(SLIPWAY_PORT="x", SLIPWAY_REGION="?", REDIS_URL="ftp://h")
    named = ["REDIS_URL", "SLIPWAY_PORT", "SLIPWAY_REGION"]
    assert sorted(name for name in named for problem in told if problem.startswith(name)) == named


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("SLIPWAY_PROT", "SLIPWAY_PORT"),
        ("SLIPWAY_DATADIR", "SLIPWAY_DATA_DIR"),
        ("SLIPWAY_PASSWORD", "SLIPWAY_ADMIN_PASSWORD"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_one(typed: str, meant: str) -> None:
    (problem,) = problems_of(**{typed: "1"})
    assert typed in problem
    assert meant in problem


@pytest.mark.parametrize("name", ["SLIPWAY_SECRET_KEY", "DATABASE_URL", "REDIS_URL"])
def test_a_refused_secret_is_not_repeated(name: str) -> None:
    (problem,) = problems_of(**{name: "hunter2"})
    assert "hunter2" not in problem


def test_secrets_do_not_show_in_the_representation() -> None:
    environment = Environment.parse(
        {
            "SLIPWAY_ADMIN_PASSWORD": "hunter2",
            "DATABASE_URL": "postgres://u:hunter2@h/db",
            "REDIS_URL": "redis://:hunter2@h",
        }
    )
    assert "hunter2" not in repr(environment)


@pytest.mark.parametrize(
    ("host", "commands"),
    [
        *((host, "any") for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1", "[::1]")),
        *((host, "recipes") for host in ("0.0.0.0", "::", "10.0.0.5", "example.com")),
    ],
)
def test_other_machines_may_only_run_recipes_unless_told_otherwise(host: str, commands: str) -> None:
    assert Environment.parse({"SLIPWAY_HOST": host}).local_commands == commands
    assert Environment.parse({"SLIPWAY_HOST": host, "SLIPWAY_LOCAL_COMMANDS": "any"}).local_commands == "any"
    assert Environment.parse({"SLIPWAY_HOST": host, "SLIPWAY_LOCAL_COMMANDS": "recipes"}).local_commands == "recipes"


def test_the_older_signature_is_taken_unless_switched_off() -> None:
    assert Environment.parse({}).hmac_sha1
    assert Environment.parse({"SLIPWAY_HMAC_SHA1": "on"}).hmac_sha1
    assert not Environment.parse({"SLIPWAY_HMAC_SHA1": "off"}).hmac_sha1
    with pytest.raises(EnvironmentError_, match="on or off"):
        Environment.parse({"SLIPWAY_HMAC_SHA1": "no"})


def test_a_public_https_address_is_accepted_and_trusted() -> None:
    environment = Environment.parse({"SLIPWAY_PUBLIC_URL": "https://Slipway.example.com/"})
    assert environment.is_https
    assert environment.address == environment.public_url == "https://slipway.example.com"
    assert "slipway.example.com" in environment.allowed_hosts


def test_an_http_public_address_leaves_cookies_plain() -> None:
    assert not Environment.parse({"SLIPWAY_PUBLIC_URL": "http://box:8000"}).is_https


def test_a_server_for_all_addresses_can_be_reached_at_loopback() -> None:
    assert Environment.parse({"SLIPWAY_HOST": "0.0.0.0", "SLIPWAY_PORT": "81"}).address == "http://127.0.0.1:81"
    assert Environment.parse({"SLIPWAY_HOST": "::"}).address == "http://[::1]:8000"


def test_a_socket_path_too_long_for_the_system_gets_a_short_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 90)
    environment = Environment.parse({"SLIPWAY_DATA_DIR": str(deep)})
    assert len(str(environment.valkey_socket)) <= 100
    assert environment.valkey_socket != Environment.parse({"SLIPWAY_DATA_DIR": f"{deep}2"}).valkey_socket
    prepare_socket_folder(environment)
    assert environment.valkey_socket.parent.stat().st_mode & 0o777 == 0o700
    environment.valkey_socket.parent.chmod(0o777)
    with pytest.raises(DataFolderError):
        prepare_socket_folder(environment)
    environment.valkey_socket.parent.rmdir()


def test_the_data_folder_is_closed_to_others_even_where_it_was_open(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    prepare_data_folder(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataFolderError, match="SLIPWAY_DATA_DIR"):
        prepare_data_folder(tmp_path / "file")


def test_the_secret_key_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    environment = Environment.parse({"SLIPWAY_DATA_DIR": str(tmp_path)})
    first = load_secret_key(environment)
    assert len(first) >= 50
    assert load_secret_key(environment) == first
    assert (tmp_path / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_given_secret_key_touches_no_file(tmp_path: Path) -> None:
    environment = Environment.parse({"SLIPWAY_DATA_DIR": str(tmp_path), "SLIPWAY_SECRET_KEY": "k" * 40})
    assert load_secret_key(environment) == "k" * 40
    assert list(tmp_path.iterdir()) == []


def test_the_documentation_lists_exactly_these_settings() -> None:
    assert render_settings_table() in (REPOSITORY / "docs" / "settings.md").read_text()


@pytest.mark.parametrize(("public_url", "is_secure"), [("https://console.example", True), ("http://box:80", False)])
def test_an_https_address_makes_the_cookies_secure(tmp_path: Path, public_url: str, is_secure: bool) -> None:
    names = ("SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "CSRF_TRUSTED_ORIGINS")
    program = f"from console import settings; print(*(getattr(settings, name) for name in {names}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=process_environment(SLIPWAY_DATA_DIR=str(tmp_path), SLIPWAY_PUBLIC_URL=public_url),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split(" ", 2) == [str(is_secure), str(is_secure), f"['{public_url}']\n"]


@pytest.mark.parametrize(
    ("url", "number"),
    [
        ("redis://there:6379/3", 3),
        ("redis://there:6379", 0),
        ("rediss://:secret@there:6379/12?socket_timeout=2", 12),
        ("redis://there:6379/0?db=4", 4),
        ("unix:///run/valkey.sock?db=5", 5),
        ("unix:///run/valkey.sock", 0),
    ],
)
def test_two_slipways_of_one_redis_are_told_apart_by_their_databases(url: str, number: int) -> None:
    assert Environment.parse({"REDIS_URL": url}).redis_database == number
