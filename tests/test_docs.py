"""The documentation leads nowhere that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from console.environment import REPOSITORY

PAGES = [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_and_picture_of_a_page_is_there(page: Path) -> None:
    targets = [page.parent / target for target in LINK.findall(page.read_text())]
    assert [target for target in targets if not target.exists()] == []
