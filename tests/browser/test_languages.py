"""A person's path in each language that is offered: sign in, deploy, chat, update, delete (issue 4, §5.5).

Nothing here is found by its English: elements by their addresses and ids, and words by the catalog's own.
"""

from __future__ import annotations

import gettext
import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect

from console.catalogs import LOCALE
from deployments.languages import ENGLISH, Language, catalog_compiled, offered_languages
from tests.browser.conftest import PATIENCE_MS, errors_of, shorten_answers, wait_status
from tests.browser.persons import OWN_PASSWORD, create_owner
from tests.slipway_process import SlipwayProcess
from tests.waiting import noticed_ms, wait_until

pytestmark = pytest.mark.browser
READY_MS = 60_000
LANGUAGES = offered_languages(Path(settings.LOCALE_PATHS[0]))
WIDE, PHONE = (1280, 800), (375, 812)
#: All on a wide screen; on a phone one that is set without spaces and the one from right to left, where offered.
ON_A_PHONE = [one for one in LANGUAGES if one.tag in ("ja", "fa")]
IN_EACH = pytest.mark.parametrize(
    ("language", "size"),
    [*((one, WIDE) for one in LANGUAGES), *((one, PHONE) for one in ON_A_PHONE)],
    ids=lambda one: one.tag if isinstance(one, Language) else str(one[0]),
)


def catalog_of(language: Language) -> gettext.NullTranslations:
    if language is ENGLISH:
        return gettext.NullTranslations()
    with catalog_compiled(LOCALE, language).open("rb") as file:
        return gettext.GNUTranslations(file)


@pytest.fixture
def tab(chromium: Browser, slipway: SlipwayProcess) -> Iterator[Page]:
    """A tab whose browser asks for English."""
    profile = chromium.new_context(base_url=slipway.address, viewport={"width": 1280, "height": 800}, locale="en-US")
    profile.set_default_timeout(PATIENCE_MS)
    page = profile.new_page()
    thrown = errors_of(page)
    yield page
    profile.close()
    assert not thrown


@pytest.fixture
def reader(chromium: Browser, api: httpx.Client) -> str:
    """The name of an owner who has chosen no language: a choice is kept with the person, and would be admin's."""
    name = f"reader.{secrets.token_hex(4)}"
    create_owner(chromium, api, name)
    return name


def sign_in(page: Page, name: str) -> None:
    page.locator("#sign-in-name").fill(name)
    page.locator("#sign-in-password").fill(OWN_PASSWORD)
    page.locator("#sign-in-password").press("Enter")
    page.wait_for_url("**/")


def say_ok(page: Page, service: str, verb: str, typed: str = "") -> None:
    """Through a dialog of the service's menu: type the name where it is asked for, then the one button that acts."""
    page.goto(f"/services/{service}/{verb}")
    form = page.locator(f"form[action$='/{verb}']").last
    if typed:
        form.locator("input[name='typed_name']").fill(typed)
    form.locator("button.button-primary, button.button-danger").last.click()


def see_it_fits(page: Page) -> None:
    """No page scrolls sideways, whatever its words."""
    widths = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert widths[0] <= widths[1], f"{page.url} is {widths[0]} px wide on a screen of {widths[1]} px"


@IN_EACH
def test_a_persons_path(tab: Page, api: httpx.Client, reader: str, language: Language, size: tuple[int, int]) -> None:
    words = catalog_of(language).gettext
    name = f"path_{language.folder.lower()}_{size[0]}"
    tab.set_viewport_size({"width": size[0], "height": size[1]})

    tab.goto("/sign-in")
    tab.locator(f"button[name='language'][value='{language.code}']").click()
    expect(tab.locator("html")).to_have_attribute("lang", language.tag)
    expect(tab.locator("html")).to_have_attribute("dir", "rtl" if language.code == "fa" else "ltr")
    expect(tab.get_by_role("heading", level=1)).to_have_text(words("Sign in"))
    sign_in(tab, reader)

    tab.goto("/deploy/llm")
    expect(tab.get_by_role("heading", level=1)).to_have_text(words("LLM Deployment"))
    see_it_fits(tab)
    tab.locator("[name='service_name']").fill(name)
    tab.get_by_role("button", name=words("Deploy"), exact=True).click()
    tab.wait_for_url(f"**/services/{name}")
    badge = tab.locator("[data-status]").first
    expect(badge).to_have_attribute("data-status", "Running", timeout=noticed_ms(READY_MS))
    expect(badge).to_contain_text(words("Running"))
    see_it_fits(tab)

    tab.goto(f"/services/{name}/chat")
    shorten_answers(tab)
    tab.locator("textarea").first.fill("What is a slipway?")
    tab.locator("textarea").first.press("Enter")
    expect(tab.locator("[data-role=assistant]").last).to_contain_text(" ", timeout=noticed_ms(READY_MS))
    expect(tab.locator(".answer-stats").last).not_to_have_text("", timeout=noticed_ms(READY_MS))
    see_it_fits(tab)

    tab.goto(f"/services/{name}/edit")
    expect(tab.get_by_role("heading", level=1)).to_contain_text(words("Update Service"))
    see_it_fits(tab)
    tab.locator("[name='memory']").fill("1800")
    tab.get_by_role("button", name=words("Update Service"), exact=True).click()
    wait_until(lambda: api.get(f"/services/local/{name}").json().get("CurrentVersion") == 2, "r2 is wanted", 30)
    wait_status(api, name, "Running")

    say_ok(tab, name, "delete", typed=name)
    wait_until(lambda: api.get(f"/services/local/{name}").status_code == 404, f"{name} is gone", 60)


@pytest.mark.skipif(len(LANGUAGES) < 2, reason="no translation is complete enough to be offered")
def test_the_choice_is_kept_with_the_person_for_every_browser(
    tab: Page, chromium: Browser, slipway: SlipwayProcess, reader: str
) -> None:
    chosen = LANGUAGES[-1]
    tab.goto("/sign-in")
    sign_in(tab, reader)
    tab.locator("[popovertarget='account-menu']").click()
    tab.locator(f"#account-menu button[name='language'][value='{chosen.code}']").click()
    expect(tab.locator("html")).to_have_attribute("lang", chosen.tag)

    other = chromium.new_context(base_url=slipway.address, locale="en-US").new_page()
    other.goto("/sign-in")
    expect(other.locator("html")).to_have_attribute("lang", "en")
    sign_in(other, reader)
    expect(other.locator("html")).to_have_attribute("lang", chosen.tag)
    refused = other.request.get("/api/v2/services/local/no_such_service")
    assert refused.status == 404
    assert refused.text().isascii(), "REST speaks English"

    other.locator("[popovertarget='account-menu']").click()
    other.locator("#account-menu button[name='language'][value='en']").click()
    expect(other.locator("html")).to_have_attribute("lang", "en")
    other.context.close()
