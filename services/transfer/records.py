"""The lines of an export, which an import reads again, and what comes of an import; needs nothing but pydantic."""

from typing import Literal, TypeAlias

from pydantic import AwareDatetime, BaseModel, Field

from services.schemas import Body, EventIn, ItemIn, UserIn

Kind: TypeAlias = Literal["events", "items", "users", "impressions"]
Importable: TypeAlias = Literal["events", "items", "users"]
NDJSON = "application/x-ndjson"


class TransferRow(Body):
    """A line of an export. cursor: give it back to go on behind this line; an import passes it over."""

    cursor: int = Field(0, ge=0, alias="_cursor", exclude=True)


class EventRow(TransferRow, EventIn):
    """An event of an export."""


class ItemRow(TransferRow, ItemIn):
    """All that was posted of an item."""


class UserRow(TransferRow, UserIn):
    """All that was posted of a user."""


class ImpressionRow(TransferRow):
    """An answer that was given, as the store keeps it; items best first. It can be exported only."""

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


class LineError(BaseModel):
    """A line that was refused, counted from 1, and why."""

    line: int
    error: str


class Imported(BaseModel):
    """What came of an import. What is accepted is stored; duplicates are events whose key was stored before.

    first_errors: of at most ten refused lines
    lines: how many are dealt with, those that were skipped among them
    stopped: why there was no going on; the rest can be sent with skip=lines
    """

    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    first_errors: list[LineError] = Field(default=[], max_length=10)
    lines: int = 0
    stopped: str | None = None
