"""REST speaks English, whatever a caller's `Accept-Language` asks for (docs/rest.md)."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.models import User

from deployments.reader import chosen_language
from tests.deployments.api.conftest import Api

#: One that is not English, where one is offered.
LANGUAGE = settings.LANGUAGES[-1][0]


@pytest.mark.parametrize("language", ["fa", "zh-Hans", "ja, en;q=0.5"])
def test_refusals_are_english_whatever_is_asked_for(owner: Api, language: str) -> None:
    for path in ("services/local/no_such_service", "services?PageSize=many"):
        status, refused = owner.request("GET", path, headers={"Accept-Language": language})
        assert status in (400, 404)
        assert refused["Message"].isascii()
    status, refused = owner.request("POST", "services", {"metadata": {}}, headers={"Accept-Language": language})
    assert status == 400
    assert refused["Message"].isascii()


def test_a_person_s_own_language_is_no_matter_for_programs(owner: Api) -> None:
    assert owner.user is not None
    owner.client.force_login(owner.user)
    owner.client.post("/language", {"language": LANGUAGE, "next": "/"})
    assert chosen_language(User.objects.get(pk=owner.user.pk)) == LANGUAGE
    _, refused = owner.get("services/local/no_such_service")
    assert refused["Message"].isascii()
