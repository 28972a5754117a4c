"""The base class of all sections of the settings, and the type of their durations."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from order_book_platform.clock import duration_ns

Duration = Annotated[int, BeforeValidator(duration_ns), Field(gt=0)]
"""A duration in int64 ns; in the file it is written as `"100ms"`, `"1s"` or `"5m"`."""


class Section(BaseModel):
    """Base of the sections: unknown keys are refused, and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)
