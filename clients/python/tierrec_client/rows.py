"""Rows of an export: its lines are not part of the OpenAPI document, so these models are written by hand."""

from pydantic import AwareDatetime, Field

from tierrec_client.base import Model
from tierrec_client.models import EventIn, ItemIn, UserIn


class ExportRow(Model):
    """A row of an export; an export that starts at its cursor begins with the row after it."""

    cursor: int = Field(0, ge=0, alias="_cursor", exclude=True)


class EventRow(ExportRow, EventIn):
    """An exported event."""


class ItemRow(ExportRow, ItemIn):
    """An exported item with all its posted attributes; without attributes one that is deleted."""

    attributes: dict[str, str | float | bool | None] | None = Field({})  # type: ignore[assignment]


class UserRow(ExportRow, UserIn):
    """An exported user with all their posted attributes; None if these are deleted."""

    attributes: dict[str, str | float | bool | None] | None = Field({})  # type: ignore[assignment]


class ImpressionRow(ExportRow):
    """An exported answer, items best first. It cannot be imported."""

    request_id: str
    user_id: str | None = None
    surface: str
    items: tuple[str, ...]
    path: str
    reason: str | None = None
    model_version: str
    variant: str | None = None
    experiment: str | None = None
    propensity: float
    at: AwareDatetime
