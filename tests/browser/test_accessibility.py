"""axe-core on every page and dialog, in both themes, wide and narrow: nothing serious (console.md §9, check 29).

Each page is loaded once for both themes: most of the time goes into axe.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from django.conf import settings
from playwright.sync_api import Page

from console.environment import REPOSITORY
from tests.browser.conftest import PASSWORD
from tests.waiting import wait_until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]  # many pages, each through axe-core

AXE = REPOSITORY / "node_modules" / "axe-core" / "axe.min.js"
NARROW = {"width": 375, "height": 720}
WIDE = {"width": 1280, "height": 800}

LOOKS = pytest.mark.parametrize(
    ("theme", "size"),
    [("light", WIDE), ("dark", WIDE), ("light", NARROW), ("dark", NARROW)],
    ids=["light-wide", "dark-wide", "light-narrow", "dark-narrow"],
)
SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
#: axe's rules about colours: all that another theme of the same page can change. The direction of the text changes no
#: colour, so pages from right to left are looked at in one theme.
COLOURS = ("color-contrast", "link-in-text-block")
Theme = Literal["light", "dark"]

#: ``{chat}`` is a service that runs and ``{instance}`` is its one, ``{failed}`` is in a crash loop.
PAGES = [
    "/",
    "/?q=nothing_like_it",
    "/?sort=-instances&column=instances&column=resources&column=author&column=updated",
    "/deploy/llm",
    "/deploy/custom",
    "/deploy/custom?view=yaml",
    "/clusters",
    "/clusters/local",
    "/keys",
    "/keys/new",
    "/keys/api-keys/new",
    "/usage",
    "/workspaces/default/limits",
    "/workspaces/default/members/1/limits",
    "/workspaces",
    "/workspaces/new",
    "/workspaces/default/members",
    "/workspaces/default/rename",
    "/workspaces/default/delete",
    "/people",
    "/people/new",
    "/people/1",
    "/notices",
    "/settings/profile",
    "/settings/security",
    "/settings/appearance",
    "/settings/audit",
    "/no-such-page",
    "/services/{chat}",
    "/services/{chat}/invocation",
    "/services/{chat}/monitoring",
    "/services/{chat}/monitoring?range=15m",
    "/services/{chat}/events",
    "/services/{chat}/logs",
    "/services/{chat}/debug",
    "/services/{chat}/versions",
    "/services/{chat}/versions/1",
    "/services/{failed}/versions/compare",
    "/services/{chat}/edit",
    "/services/{chat}/edit?form=custom&view=json",
    "/services/{chat}/chat",
    "/services/{chat}/chat/import",
    "/services/{chat}/chat/bin",
    "/services/{chat}/chat?q=nothing_like_it",
    "/services/{chat}/stop",
    "/services/{chat}/restart",
    "/services/{chat}/instances/{instance}/restart",
    "/services/{chat}/scale",
    "/services/{chat}/delete",
    "/services/{chat}/token/rotate",
    "/services/{failed}",
    "/services/{failed}/events",
    "/services/{failed}/logs",
    "/services/{failed}/edit",
]

#: The elements, as words for the report, that a finger could miss. A link within a sentence is as high as its line,
#: and a radio button or checkbox is as large as its label.
SMALL_TARGETS = """() => [...document.querySelectorAll("a, button, input, select, textarea, summary")].filter((one) => {
  if (one.closest("[popover]:not(:popover-open), dialog:not([open]), [aria-hidden='true']")) return false;
  const style = getComputedStyle(one);
  if (style.display === "inline" || style.visibility === "hidden" || style.clipPath !== "none") return false;
  const labelled = ["radio", "checkbox"].includes(one.type) ? one.closest("label, .model-row") : one;
  const box = (labelled ?? one).getBoundingClientRect();
  return box.width > 0 && box.height > 0 && (box.height < 43.5 || box.width < 43.5);
}).map((one) => `${one.tagName} ${one.id} "${one.textContent.trim().slice(0, 40)}"`)"""


@pytest.fixture(scope="module")
def failed_service(api: httpx.Client) -> str:
    """The name of a service of two versions whose program ends at once, when it is Failed."""
    name = "axe_failed"
    document: dict[str, Any] = {
        "metadata": {"name": name, "instance": 1, "cpu": 1, "memory": 256},
        "containers": [{"image": "any:1", "script": "echo 'unknown flag --tensor-paralel' >&2; exit 3", "port": 8000}],
    }
    answer = api.post("/services", json=document)
    assert answer.status_code == 201, answer.text
    document["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": "hidden"}]
    answer = api.put(f"/services/local/{name}", json=document)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: api.get(f"/services/local/{name}").json().get("Status") == "Failed", f"{name} is Failed", 90)
    return name


@pytest.fixture
def instance(api: httpx.Client, chat_service: str) -> str:
    """An instance of the service that runs."""
    name: str = api.get(f"/services/local/{chat_service}/instances").json()["Instances"][0]["InstanceName"]
    return name


def serious_findings(page: Page, where: str, rules: tuple[str, ...] = ()) -> list[str]:
    """What axe, by these rules or all, calls serious or critical: a line for each rule with its first elements."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(Path(AXE).read_text())
    options = {"resultTypes": ["violations"]} | ({"runOnly": list(rules)} if rules else {})
    violations: list[dict[str, Any]] = page.evaluate(
        "async (options) => (await axe.run(document, options)).violations", options
    )
    return [
        f"{where}: {one['id']} ({one['help']}): {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]


def overflow(page: Page, where: str) -> list[str]:
    """A line when the page scrolls sideways."""
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"{where}: {wide} px too wide"] if wide > 0 else []


def findings_of_page(page: Page, path: str, size: dict[str, int]) -> list[str]:
    """What is wrong with a page in the light theme."""
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    page.goto(path)
    found = serious_findings(page, path) + overflow(page, path)
    if size is NARROW:
        found += [f"{path}: smaller than 44 px: {one}" for one in page.evaluate(SMALL_TARGETS)]
    return found


@SIZES
def test_no_page_has_a_serious_finding_or_scrolls_sideways(
    signed_in: Page, chat_service: str, failed_service: str, instance: str, size: dict[str, int]
) -> None:
    signed_in.set_viewport_size({"width": size["width"], "height": size["height"]})
    found: list[str] = []
    for pattern in PAGES:
        path = pattern.format(chat=chat_service, failed=failed_service, instance=instance)
        found += findings_of_page(signed_in, path, size)
        signed_in.emulate_media(color_scheme="dark", reduced_motion="reduce")
        found += serious_findings(signed_in, f"{path} in the dark", COLOURS)
    assert not found, "\n".join(found)


@pytest.mark.skipif("fa" not in dict(settings.LANGUAGES), reason="Persian is not complete enough to be offered")
@SIZES
def test_no_page_from_right_to_left_has_a_serious_finding_or_scrolls_sideways(
    signed_in: Page, chat_service: str, failed_service: str, instance: str, size: dict[str, int]
) -> None:
    signed_in.context.add_cookies(
        [{"name": settings.LANGUAGE_COOKIE_NAME, "value": "fa", "url": signed_in.url, "httpOnly": True}]
    )
    signed_in.set_viewport_size({"width": size["width"], "height": size["height"]})
    found: list[str] = []
    for pattern in PAGES:
        path = pattern.format(chat=chat_service, failed=failed_service, instance=instance)
        found += findings_of_page(signed_in, path, size)
        assert signed_in.evaluate("[document.documentElement.lang, document.dir].join()") == "fa,rtl", path
    assert not found, "\n".join(found)


@LOOKS
def test_no_dialog_or_menu_has_a_serious_finding(
    signed_in: Page, chat_service: str, theme: Theme, size: dict[str, int]
) -> None:
    signed_in.emulate_media(color_scheme=theme, reduced_motion="reduce")
    signed_in.set_viewport_size({"width": size["width"], "height": size["height"]})
    signed_in.goto(f"/services/{chat_service}")
    signed_in.get_by_role("button", name="More", exact=True).click()
    found = serious_findings(signed_in, "the menu")
    signed_in.keyboard.press("Escape")
    for name in ("Stop", "Restart", "Scale", "Delete"):
        signed_in.get_by_role("button", name="More", exact=True).click()
        signed_in.get_by_role("link", name=name, exact=True).click()
        signed_in.get_by_role("dialog").wait_for()
        found += serious_findings(signed_in, f"the dialog of {name}") + overflow(signed_in, name)
        signed_in.keyboard.press("Escape")
        signed_in.get_by_role("dialog").wait_for(state="detached")
    signed_in.get_by_role("link", name="Invocation Information", exact=True).click()
    signed_in.get_by_role("dialog").wait_for()
    found += serious_findings(signed_in, "Invocation Information") + overflow(signed_in, "Invocation Information")
    signed_in.keyboard.press("Escape")
    signed_in.get_by_role("dialog").wait_for(state="detached")
    found += findings_of_a_selection(signed_in)
    signed_in.keyboard.press("Control+k")
    signed_in.locator("#palette-options").get_by_role("option").first.wait_for()
    found += serious_findings(signed_in, "the palette") + overflow(signed_in, "the palette")
    assert not found, "\n".join(found)


def findings_of_a_selection(page: Page) -> list[str]:
    """The list with a row selected, its menu of columns, and the dialog of what is done to many."""
    page.goto("/")
    page.locator(".cell-select input:not([data-select-page])").first.check()
    found = serious_findings(page, "a selection") + overflow(page, "a selection")
    if page.get_by_role("button", name="Columns").is_visible():
        page.get_by_role("button", name="Columns").click()
        found += serious_findings(page, "the columns")
        page.keyboard.press("Escape")
    page.locator("#bulk").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").wait_for()
    found += serious_findings(page, "deleting many") + overflow(page, "deleting many")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.locator("#bulk").get_by_role("button", name="Clear selection").click()
    return found


@LOOKS
def test_the_sign_in_page_has_no_serious_finding(page: Page, theme: Theme, size: dict[str, int]) -> None:
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": size["width"], "height": size["height"]})
    page.goto("/sign-in")
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password", exact=True).fill("wrong")
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("alert").wait_for()
    found = serious_findings(page, "sign-in") + overflow(page, "sign-in")
    assert not found, "\n".join(found)


@LOOKS
def test_no_page_that_a_form_leads_to_has_a_serious_finding(
    signed_in: Page, theme: Theme, size: dict[str, int]
) -> None:
    page, found = signed_in, list[str]()

    def look(where: str) -> None:
        nonlocal found
        found += serious_findings(page, where) + overflow(page, where)
        if size is NARROW:
            found += [f"{where}: smaller than 44 px: {one}" for one in page.evaluate(SMALL_TARGETS)]

    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": size["width"], "height": size["height"]})
    page.goto("/keys/new")
    page.get_by_label("Name", exact=True).fill("looked at")
    page.get_by_role("button", name="Create key").click()
    page.locator("#new-token").wait_for()
    look("a new key")
    page.goto("/keys/api-keys/new")
    page.get_by_label("Name", exact=True).fill("looked at")
    page.get_by_label("Only these", exact=True).check()
    page.get_by_text("Limits of this key").click()
    look("the form of an API key")
    page.get_by_role("button", name="Create API key").click()
    page.locator("#services-error").wait_for()
    look("what is wrong with an API key")
    page.get_by_label("Every service", exact=True).check()
    page.get_by_role("button", name="Create API key").click()
    page.locator("#new-api-key").wait_for()
    look("a new API key")
    page.goto("/keys")
    look("an API key in the list")
    page.get_by_role("link", name="Change looked at").first.click()
    page.get_by_role("heading", name="Change looked at").wait_for()
    look("an API key that is changed")
    page.goto("/people/new")
    page.get_by_label("User name").fill(f"looked.at.{theme}.{size['width']}")
    page.get_by_role("button", name="Create person").click()
    page.locator("#one-time-password").wait_for()
    look("a new one-time password")
    page.goto("/keys/new")
    page.get_by_label("Name", exact=True).fill("typed late")
    page.context.clear_cookies(name="slipway_session")
    page.get_by_role("button", name="Create key").click()
    page.locator("#typed-is-kept").wait_for()
    look("the sign-in before a form that is kept")
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.locator("#key-name").wait_for()
    look("a form that was kept")
    assert not found, "\n".join(found)
