"""What goes over the wire: typed requests and answers with their limits; the OpenAPI page shows them."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Id = Annotated[str, Field(min_length=1, max_length=256)]
Ids = Annotated[tuple[Id, ...], Field(max_length=1000)]


class AnswerPath(StrEnum):
    """Who ranked an answer: the blend, or a prior that needs no history."""

    BLEND = "blend"
    COLD = "cold"


class RecommendRequest(BaseModel):
    """Somebody who wants a list: a user of the log by id, or a visitor by what they took, oldest first.

    Neither is an empty history; a user_id that the log does not know counts as one.
    """

    # Messages and logs must not repeat what was sent: it may be a person's id.
    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        json_schema_extra={"example": {"user_id": "1053", "k": 5, "explain": True}},
    )

    user_id: Id | None = Field(None, description="A user of the log.")
    history: Ids | None = Field(None, description="Item ids of a visitor, oldest first.")
    surface: Literal["products"] = Field("products", description="Where the list is shown.")
    task: Literal["next", "discovery"] | None = Field(
        None, description="next: with items met before; discovery: without. None = the package's default."
    )
    k: int = Field(10, ge=1, le=100, description="How many items.")
    exclude: Ids = Field((), description="Item ids that must not be in the answer.")
    explain: bool = Field(False, description="Give the reasons for each item.")

    @model_validator(mode="after")
    def _one_history(self) -> Self:
        if self.user_id is not None and self.history is not None:
            raise ValueError("user_id and history are both given; give one")
        return self


class Item(BaseModel):
    """One item of a list. reasons add up to the score, before the policy, strongest first; only with explain."""

    item_id: str
    title: str
    score: float
    reasons: dict[str, float] | None = None


class Answer(BaseModel):
    """A list, best first, shorter than k when the catalogue has no more; and how it came to be."""

    items: list[Item]
    path: AnswerPath
    tier: str
    known_user: bool
    task: str
    model_version: str
    request_id: str


class Info(BaseModel):
    """What is being served: its tags, its tasks, its catalogue and the labels of the Bento."""

    bento: str
    model: str
    model_version: str
    tasks: list[str]
    num_users: int
    num_items: int
    labels: dict[str, str]


class Problem(BaseModel):
    """Why a request was refused, in the shape that a refused field has too."""

    error: str
    detail: list[dict[str, str]] = []
