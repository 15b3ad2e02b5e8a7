"""Which tests a run takes, and in what order: for the Makefile's targets, never for what a test finds.

Where tests run side by side a file stays together, so the files that take longest begin first: one of them at the end
would keep everybody waiting.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from console.environment import REPOSITORY

#: Files that take more than most, longest first. Each run with ``--durations`` says which do.
LONGEST = (
    "tests/browser/test_accessibility.py",
    "tests/test_chaos.py",
    "tests/test_supervisor.py",
    "tests/browser/test_keyboard.py",
    "tests/browser/chat/test_chat.py",
    "tests/browser/test_services_list.py",
    "tests/cli/test_whole.py",
    "tests/browser/test_editor.py",
    "tests/deployments/test_happenings.py",
    "tests/inference_gateway/test_faults_retries.py",
    "tests/inference_gateway/test_faults_secrets.py",
    "tests/deployments/test_lifecycle.py",
    "tests/inference_gateway/test_breaker.py",
    "tests/inference_gateway/test_webchat_servers.py",
    "tests/inference_gateway/test_faults_leaving.py",
    "tests/inference_gateway/test_webchat.py",
    "tests/inference_gateway/test_processes.py",
    "tests/inference_gateway/test_gateway.py",
    "tests/inference_gateway/test_runtime_process.py",
    "tests/inference_gateway/test_gateway_predict_client.py",
    "tests/inference_gateway/test_faults_history.py",
)
#: What asks the database has one of these, or the mark ``django_db``.
DATABASE_FIXTURES = frozenset({"db", "transactional_db", "django_db_setup", "live_server"})
SLOWEST_FILES = 15


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--on-backends",
        action="store_true",
        help="leave out what another database or Redis cannot change: see tests/sharing_out.py",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("kubernetes") and "objects_only" in fixtures_of(item):
            item.add_marker(pytest.mark.control_plane)
    if config.getoption("on_backends"):
        left_out = [item for item in items if not asks_backends(item)]
        items[:] = [item for item in items if asks_backends(item)]
        config.hook.pytest_deselected(items=left_out)
    assert all((REPOSITORY / name).is_file() for name in LONGEST), "a file of tests.sharing_out.LONGEST is gone"
    places = {REPOSITORY / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def asks_backends(item: pytest.Item) -> bool:
    """Whether a test may end otherwise on PostgreSQL and a Redis of one's own than on what Slipway brings along.

    What touches the database may, but for two kinds, of which only what is marked ``backends`` may. The gateway reads a
    route and a token, whatever the engine behind it does: marked is where it keeps, counts or locks something. And a
    whole Slipway does what its parts do: marked is what changes services all at once, or after a part was killed.
    """
    if item.get_closest_marker("backends"):
        return True
    if item.get_closest_marker("supervisor") or item.get_closest_marker("browser"):
        return False
    if item.path.is_relative_to(REPOSITORY / "tests" / "inference_gateway"):
        return False
    return item.get_closest_marker("django_db") is not None or not DATABASE_FIXTURES.isdisjoint(fixtures_of(item))


def fixtures_of(item: pytest.Item) -> tuple[str, ...]:
    return tuple(getattr(item, "fixturenames", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """With ``--durations``: the files that took longest, too."""
    if config.getoption("durations") is None:
        return
    seconds: dict[str, float] = defaultdict(float)
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.partition("::")[0]] += report.duration
    terminalreporter.section(f"slowest {SLOWEST_FILES} files")
    for file, taken in sorted(seconds.items(), key=lambda one: -one[1])[:SLOWEST_FILES]:
        terminalreporter.write_line(f"{taken:7.1f} s  {file}")
