"""Kinds of values that the parts of a study have in common."""

from typing import Annotated, Literal

from pydantic import Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Triple = tuple[Positive, Positive, Positive]
Size = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]
Axis = Literal["x", "y", "z"]
"""Of the prepared grid: x is left-right, y back-front, z foot-head."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
