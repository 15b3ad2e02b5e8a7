"""The documentation's tables say what the registry and the catalog say."""

from __future__ import annotations

import pytest

from deployments.doc_tables import DOCS_FOLDER, TABLES, refresh


@pytest.mark.parametrize("page", sorted(TABLES))
def test_the_tables_of_a_page_are_up_to_date(page: str) -> None:
    text = (DOCS_FOLDER / page).read_text(encoding="utf-8")
    assert text == refresh(page, text), "Run python -m deployments.doc_tables"


def test_a_page_without_a_place_for_its_table_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place"):
        refresh("models.md", "# Models\n")
