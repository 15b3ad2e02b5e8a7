"""A database that does not answer: 503 and a sentence for programs, a page for people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client

from tests.deployments.api.conftest import Api

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anna() -> User:
    return User.objects.create_user("anna", password="a long enough secret")


@pytest.fixture
def no_database(anna: User, tmp_path: Path) -> Iterator[None]:
    """Connections go to a database that is not there, until the test ends."""
    name = connection.settings_dict["NAME"]
    connection.close()
    is_file = connection.vendor == "sqlite"
    connection.settings_dict["NAME"] = str(tmp_path / "nowhere" / "db") if is_file else "nowhere"
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


@pytest.mark.usefixtures("no_database")
def test_rest_answers_503_and_says_when_to_come_back(anna: User) -> None:
    status, answer = Api(anna).get("services")
    assert (status, answer["Code"]) == (503, "DatabaseUnavailable")
    response = Client().get("/api/v2/services", headers=Api(anna).headers)
    assert response["Retry-After"].isdigit()


def test_a_page_answers_503(anna: User, request: pytest.FixtureRequest) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(anna)
    request.getfixturevalue("no_database")
    response = client.get("/")
    assert response.status_code == 503
    assert response["Retry-After"].isdigit()
    assert "does not answer" in response.content.decode()
