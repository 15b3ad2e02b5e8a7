"""What every part of the service document is built of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError


def no_boolean(value: Any) -> Any:
    """JSON's true is no number, though Python would take it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "true and false are not numbers")
    return value


Whole = Annotated[int, BeforeValidator(no_boolean)]
Number = Annotated[float, BeforeValidator(no_boolean)]


class Part(BaseModel):
    """A part of the document: unknown keys kept, values never changed after parsing."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True, allow_inf_nan=False)
