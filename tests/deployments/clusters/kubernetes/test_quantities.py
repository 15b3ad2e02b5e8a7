"""Quantities as Kubernetes writes them."""

from __future__ import annotations

import pytest

from deployments.clusters.kubernetes.quantities import cores, mib, quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", 2), (3, 3), ("1e3", 1000), ("1.5Gi", 1610612736), ("100Mi", 104857600), ("1k", 1000),
     ("128974848", 128974848), ("1Ki", 1024), ("2E", 2 * 10**18), ("12n", "1.2e-8")],
)  # fmt: skip
def test_a_quantity_is_the_number_it_stands_for(text: str, number: str | int) -> None:
    assert quantity(text) == quantity(number)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "much", "1mi"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        quantity(text)


def test_memory_is_rounded_up_to_whole_mib() -> None:
    assert (mib("1Gi"), mib("1000Ki"), mib("1"), cores("250m")) == (1024, 1, 1, 0.25)
