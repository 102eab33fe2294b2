"""The lines of exports and imports, and the result of an import."""

from typing import Literal, TypeAlias

from pydantic import BaseModel, Field

from services.schemas import Attribute, Body, EventIn, ItemIn, Name, UserIn

Importable: TypeAlias = Literal["events", "items", "users"]
NDJSON = "application/x-ndjson"


class TransferRow(Body):
    """A line of an export. cursor: an export can continue after it; an import ignores it."""

    cursor: int = Field(0, ge=0, alias="_cursor", exclude=True)

    @property
    def is_deletion(self) -> bool:
        """Whether nothing is given but an id, and null for the attributes."""
        return getattr(self, "attributes", {}) is None and len(self.model_fields_set - {"cursor"}) == 2


class EventRow(TransferRow, EventIn):
    """An event of an export."""


class ItemRow(TransferRow, ItemIn):
    """An item of an export; null attributes delete it, if no other field is given."""

    attributes: dict[Name, Attribute] | None = Field(default_factory=dict, max_length=100)  # type: ignore[assignment]


class UserRow(TransferRow, UserIn):
    """A user of an export; null attributes delete those posted before."""

    attributes: dict[Name, Attribute] | None = Field(default_factory=dict, max_length=100)  # type: ignore[assignment]


class LineError(BaseModel):
    """A line that was refused, counted from 1, and why."""

    line: int
    error: str


class Imported(BaseModel):
    """What came of an import. What is accepted is stored; duplicates are events whose key was stored before.

    deleted: how many of the accepted lines deleted what was posted of an item or a user
    first_errors: of at most ten refused lines
    lines: how many are dealt with, those that were skipped among them
    stopped: why there was no going on; the rest can be sent with skip=lines
    """

    accepted: int = 0
    duplicates: int = 0
    deleted: int = 0
    rejected: int = 0
    first_errors: list[LineError] = Field(default=[], max_length=10)
    lines: int = 0
    stopped: str | None = None
