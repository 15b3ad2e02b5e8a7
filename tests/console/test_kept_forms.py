"""A form that was sent after its session had ended comes back filled in, and only the person sends it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from console.kept_forms import MAX_CHARACTERS, UNKEPT, fill_form
from deployments.models import PersonalToken, Preferences
from deployments.people import reset_password

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-one"
PAGE = "http://testserver"


@pytest.fixture
def li() -> User:
    return User.objects.create_user("li", password=PASSWORD)


class Fields(HTMLParser):
    """The hidden fields of a page's forms, by the address that each is sent to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.of: dict[str, dict[str, str]] = {}
        self.action = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        elif tag == "input" and given.get("type") == "hidden":
            self.of.setdefault(self.action, {})[given["name"] or ""] = given.get("value") or ""


def send_late(client: Client, address: str, page: str, **given: Any) -> dict[str, str]:
    """Send a form without a session; returns what the sign-in page carries."""
    answer = client.post(address, given, headers={"Referer": PAGE + page})
    assert answer.status_code == 401
    return Fields(answer.content.decode()).of["/sign-in"]


def sign_in_with(client: Client, carried: dict[str, str]) -> str:
    """Sign in on that page and follow; returns the page that the person is led to."""
    answer = client.post("/sign-in", carried | {"username": "li", "password": PASSWORD})
    assert answer.status_code == 302
    return client.get(answer["Location"]).content.decode()


def test_what_was_typed_is_in_the_form_again_and_nothing_was_sent(client: Client, li: User) -> None:
    carried = send_late(client, "/keys/new", "/keys/new", kind="access-key", name="<CI> & co", days="365")
    page = sign_in_with(client, carried)
    assert re.search(r'<input[^>]*name="name"[^>]*value="&lt;CI&gt; &amp; co"', page)
    assert re.search(r'<input[^>]*value="access-key"[^>]* checked>', page)
    assert not re.search(r'<input[^>]*value="token"[^>]* checked>', page)
    assert re.search(r'<option value="365" selected>', page)
    assert page.count(" selected>") == 1
    assert "this was not sent" in page
    assert not PersonalToken.objects.exists()
    assert "this was not sent" not in client.get("/keys/new").content.decode()


def test_it_survives_a_wrong_password_and_a_change_of_the_language(client: Client, li: User) -> None:
    carried = send_late(client, "/keys/new", "/keys/new", kind="token", name="harbour", days="30")
    wrong = client.post("/sign-in", carried | {"username": "li", "password": "wrong"})
    answer = client.post("/language", Fields(wrong.content.decode()).of["/language"] | {"language": "ja"})
    assert answer["Content-Language"] == "ja"
    page = sign_in_with(client, Fields(answer.content.decode()).of["/sign-in"])
    assert 'lang="ja"' in page
    assert re.search(r'name="name"[^>]*value="harbour"', page)
    assert not PersonalToken.objects.exists()


def test_a_box_that_was_unticked_comes_back_unticked(client: Client, li: User) -> None:
    Preferences.objects.create(user=li, single_keys=True)
    address = "/settings/appearance"
    page = sign_in_with(client, send_late(client, address, address, theme="dark", density="compact"))
    assert re.search(r'value="dark" checked>', page)
    form = page[page.index('action="/settings/appearance"') :]
    assert re.search(r'name="single_keys" value="on" aria-describedby="single-keys-hint">', form)
    assert Preferences.objects.get(user=li).theme != "dark"


def test_passwords_are_never_kept(client: Client, li: User) -> None:
    given = {"old_password": PASSWORD, "new_password": "another-long-one"}
    answer = client.post("/settings/security", given, headers={"Referer": f"{PAGE}/settings/security"})
    assert answer.status_code == 302  # nothing is left that could be kept
    assert "kept" not in answer["Location"]


def test_every_password_of_a_template_is_among_the_names_that_are_not_kept() -> None:
    names = set()
    for template in Path(settings.BASE_DIR, "templates").rglob("*.html"):
        for field in re.findall(r'<input[^>]*type="password"[^>]*', template.read_text()):
            names |= set(re.findall(r'\sname="([^"]+)"', field))
    assert names
    assert names <= UNKEPT


def test_a_deployment_is_not_carried_through_the_sign_in(client: Client) -> None:
    given = {"document": '{"containers": [{"env": [{"name": "TOKEN", "value": "pesto"}]}]}'}
    answer = client.post("/deploy/custom", given, headers={"Referer": f"{PAGE}/deploy/custom"})
    assert (answer.status_code, answer["Location"]) == (302, "/sign-in?next=%2Fdeploy%2Fcustom")


def test_a_form_of_no_reasonable_size_is_not_kept(client: Client) -> None:
    assert client.post("/people/new", {"name": "x" * (MAX_CHARACTERS + 1)}).status_code == 302


def test_kept_fields_that_nobody_signed_are_passed_over(client: Client, li: User) -> None:
    carried = send_late(client, "/keys/new", "/keys/new", name="mine", kind="token", days="30")
    page = sign_in_with(client, carried | {"kept_form": carried["kept_form"][:-1] + "!"})
    assert 'value="mine"' not in page
    assert "not sent" not in page


def test_a_page_that_has_no_such_form_any_more_says_that_nothing_was_done(client: Client, li: User) -> None:
    page = sign_in_with(client, send_late(client, "/workspaces/gone/invite", "/workspaces", name="sara", role="viewer"))
    assert "what you sent last was not done" in page


def test_a_browser_that_does_not_say_where_the_form_was_gets_it_back_there(client: Client, li: User) -> None:
    answer = client.post("/keys/new", {"kind": "token", "name": "mine", "days": "30"})
    assert "what you sent last was not done" in sign_in_with(client, Fields(answer.content.decode()).of["/sign-in"])
    assert 'value="mine"' in client.get("/keys/new").content.decode()


def test_someone_with_a_one_time_password_comes_back_to_the_form_too(client: Client, li: User) -> None:
    carried = send_late(client, "/keys/new", "/keys/new", name="mine", kind="token", days="30")
    once, _ = reset_password(User.objects.create_superuser("root"), li)
    answer = client.post("/sign-in", carried | {"username": "li", "password": once})
    assert answer["Location"] == "/sign-in/new-password"
    answer = client.post("/sign-in/new-password", {"new_password": "my-own-new-passphrase"})
    assert 'value="mine"' in client.get(answer["Location"]).content.decode()


def test_text_areas_lists_and_fields_of_one_name_are_filled_in_order() -> None:
    html = (
        '<p title="a > b">&amp; &#8211;</p><div id="notices"></div>'
        '<form method="post" action="/other"><input name="a"></form>'
        '<form method="post"><input name="a" value="1"><input name="a"><textarea name="t">old <b></textarea>'
        '<select name="s" multiple><option value="x" selected>X<option value="y">Y</select>'
        '<input type="hidden" name="h" value="ours"><input type="password" name="p"></form><!-- end -->'
    )
    pairs = [("a", '"one"'), ("a", "two"), ("t", "</textarea>new"), ("s", "y"), ("h", "theirs"), ("p", "secret")]
    page = fill_form(html, "/page", "/page", pairs)
    assert page.is_filled
    assert page.with_notice("<i>!</i>") == (
        '<p title="a > b">&amp; &#8211;</p><div id="notices"><i>!</i></div>'
        '<form method="post" action="/other"><input name="a"></form>'
        '<form method="post"><input name="a" value="&quot;one&quot;"><input name="a" value="two">'
        '<textarea name="t">\n&lt;/textarea&gt;new</textarea>'
        '<select name="s" multiple><option value="x">X<option value="y" selected>Y</select>'
        '<input type="hidden" name="h" value="ours"><input type="password" name="p"></form><!-- end -->'
    )
