"""Errors in what an operator wrote: always a field, a stable code, and a sentence with the cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One wrong field. ``field`` is a path such as ``containers[0].port``; "" is the whole document."""

    field: str
    code: str
    message: str


class SpecInvalid(ValueError):
    """A document that cannot be a service. Carries every error found, not only the first."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(" ".join(error.message for error in self.errors))
