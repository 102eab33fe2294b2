"""Request and response bodies, with the descriptions, examples and limits of the OpenAPI document."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    WithJsonSchema,
    model_validator,
)

from services.names import CLOCK_TOLERANCE, Strategy
from tierrec_core.base.ids import normal_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_BATCH_LISTS = 100
ID_LENGTH, NO_NUL = 256, "^[^\\x00]+$"
Name = Annotated[str, Field(min_length=1, max_length=ID_LENGTH, pattern=NO_NUL)]
Id = Annotated[Name, AfterValidator(lambda text: normal_id(text) or text)]
Ids = Annotated[tuple[Id, ...], Field(max_length=1000)]
Attribute = str | float | bool | None
Filter = Annotated[
    str, Field(max_length=2000, description="A SQL condition over item attributes: price < 10 and brand in ('A', 'B').")
]
Cursor = Annotated[
    str, Field(max_length=32_768, description="From the answer before: the next page, with nothing twice.")
]


def _refuse_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("wanted a number")
    return value


Number = Annotated[float, Field(allow_inf_nan=False), BeforeValidator(_refuse_boolean)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(_refuse_boolean)]


def _in_range(moment: datetime) -> datetime:
    """Refuse the time of an event before 1970 or after tomorrow, which would count as fresh until then."""
    if not _EPOCH <= moment <= datetime.now(UTC) + CLOCK_TOLERANCE:
        raise ValueError("is before 1970 or lies in the future; wanted when it happened")
    return moment


class Body(BaseModel):
    """A frozen request body; refuses unknown fields, and keeps input, which may be a user id, out of errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Context(Body):
    """What is known of the moment. basket: what lies in the cart now; attributes: segments that rules ask for."""

    basket: Ids = Field((), description="Item ids in the cart; they are folded in and not shown.")
    attributes: dict[Name, Attribute] = Field(
        default_factory=dict, max_length=50, description="Facts of this visit, such as {'device': 'app'}."
    )


class RecommendRequest(Body):
    """Somebody who wants a list: a user by id, or a visitor by what they took, oldest first.

    Neither is an empty history; a user_id that nobody knows counts as one.
    """

    model_config = ConfigDict(json_schema_extra={"example": {"user_id": "1053", "k": 5, "explain": True}})

    user_id: Id | None = Field(None, description="A user of the log, or one who was posted.")
    history: Ids | None = Field(None, description="Item ids of a visitor, oldest first.")
    surface: Literal["products", "ads", "campaigns", "onboarding", "rank"] = Field(
        "products", description="Where the list is shown."
    )
    task: (
        Annotated[str, Field(min_length=1), WithJsonSchema({"enum": ["next", "discovery"], "type": "string"})] | None
    ) = Field(None, description="next: with items met before; discovery: without. None = the package's default.")
    k: int | None = Field(None, ge=1, le=100, description="How many items; 10, or all for the surface rank.")
    items: Ids | None = Field(None, description="What to sort; for the surface rank, and only there.")
    context: Context = Field(default_factory=Context, description="What is known of the moment.")
    exclude: Ids = Field((), description="Item ids that must not be in the answer.")
    filter: Filter | None = Field(None)
    cursor: Cursor | None = Field(None)
    explain: bool = Field(False, description="Give the reasons for each item.")

    @property
    def num_items(self) -> int:
        """The requested number of items: k, by default 10 or all given items."""
        return self.k or (10 if self.items is None else len(self.items))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.user_id is not None and self.history is not None:
            raise ValueError("user_id and history are both given; give one")
        if (self.items is not None) != (self.surface == "rank"):
            raise ValueError("items are for the surface rank, which needs them")
        return self


class Item(BaseModel):
    """One item of a list. reasons add up to the blend's score, strongest first; only with explain."""

    item_id: str
    title: str
    score: float
    reasons: dict[str, float] | None = None


class Fallback(BaseModel):
    """Which rung of the ladder should have answered, and why it did not."""

    wanted: Strategy
    reason: str


class Answer(BaseModel):
    """A list, best first, shorter than k when there is nothing more; and how it came to be."""

    items: list[Item]
    path: Strategy
    fallback: Fallback | None = None
    surface: str
    task: str
    tier: str
    known_user: bool
    model_version: str
    experiment: str | None = None
    variant: str | None = None
    request_id: str
    cursor: str | None = None


class RecommendBatch(Body):
    """Requests for lists, each answered for itself."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"requests": [{"user_id": "1053", "k": 5}, {"history": []}]}}
    )

    requests: Annotated[tuple[RecommendRequest, ...], Field(min_length=1, max_length=MAX_BATCH_LISTS)]


class BatchResult(BaseModel):
    """An answer, or what is wrong with its request. index: the request's position, from 0; status: as HTTP's.

    request_id: the answer's, and that of the log lines about it: the batch's X-Request-Id and the index
    """

    index: int
    status: int
    request_id: str
    answer: Answer | None = None
    error: str | None = None


class BatchAnswer(BaseModel):
    """A result for each request, in their order."""

    results: list[BatchResult]


class SearchRequest(Body):
    """Words that somebody typed; with a user_id the hits are ordered by their interests too."""

    model_config = ConfigDict(json_schema_extra={"example": {"query": "choclate cookies", "user_id": "1053"}})

    query: str = Field(min_length=1, max_length=200, description="What was typed; small typos do no harm.")
    user_id: Id | None = Field(None, description="Whose interests count.")
    k: int = Field(10, ge=1, le=100, description="How many items.")
    exclude: Ids = Field((), description="Item ids that must not be in the answer.")
    filter: Filter | None = Field(None)
    cursor: Cursor | None = Field(None)
    context: Context = Field(default_factory=Context)


class SimilarRequest(Body):
    """An item whose like is wanted."""

    model_config = ConfigDict(json_schema_extra={"example": {"item_id": "1082185", "k": 5}})

    item_id: Id
    user_id: Id | None = Field(None, description="Whose interests count among equals.")
    k: int = Field(10, ge=1, le=100)
    exclude: Ids = Field(())
    filter: Filter | None = Field(None)
    cursor: Cursor | None = Field(None)
    context: Context = Field(default_factory=Context)


class EventIn(Body):
    """Something that a user did. key makes a retried post harmless: the same key counts once."""

    key: Name = Field(description="Unique for the event, made by the sender.")
    user_id: Id
    item_id: Id
    event: Literal["impression", "view", "click", "favourite", "cart", "rating", "purchase", "redeem"]
    timestamp: Annotated[AwareDatetime, AfterValidator(_in_range)] | None = Field(
        None, description="When; now where it is left out."
    )
    value: Amount | None = Field(None, description="Money paid, or stars.")
    quantity: Number | None = Field(None, description="Pieces; negative for a return.")
    session_id: Name | None = None
    channel: Name | None = None
    request_id: Name | None = Field(None, description="The answer that showed the item.")


class EventBatch(Body):
    """Events in any order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"events": [{"key": "e-1", "user_id": "1053", "item_id": "1082185", "event": "view"}]}
        }
    )

    events: Annotated[tuple[EventIn, ...], Field(min_length=1, max_length=1000)]


class ItemIn(Body):
    """An item to be served from now on, or new facts of one; filters and rules may ask for its attributes."""

    item_id: Id
    title: str | None = Field(None, max_length=500)
    category: str | None = Field(None, max_length=200)
    brand: str | None = Field(None, max_length=200)
    price: Amount | None = None
    stock: Number | None = Field(None, description="0 or less hides the item.")
    available_from: AwareDatetime | None = None
    available_until: AwareDatetime | None = None
    on_promotion: StrictBool | None = Field(None, description="Whether the surface ads may show it.")
    attributes: dict[Name, Attribute] = Field(default_factory=dict, max_length=100)


class ItemBatch(Body):
    """Items to add or to change."""

    items: Annotated[tuple[ItemIn, ...], Field(min_length=1, max_length=1000)]


class UserIn(Body):
    """A user to be known from now on; attributes are segments for rules and audits, never a model's input."""

    user_id: Id
    attributes: dict[Name, Attribute] = Field(default_factory=dict, max_length=100)


class UserBatch(Body):
    """Users to add or to change."""

    users: Annotated[tuple[UserIn, ...], Field(min_length=1, max_length=1000)]


class TierAnswer(BaseModel):
    """What is known of a user: tier, share of interest by layer, and the risk that they do not come back."""

    tier: str
    known_user: bool
    interests: dict[str, float]
    churn_risk: float | None = Field(description="Probability of no purchase in the next churn_days, calibrated.")
    churn_days: float | None
    churn_calibration_error: float | None = Field(description="Expected calibration error on the test window.")
    model_version: str


class Explained(BaseModel):
    """One item that was shown, and what speaks for it now, strongest first."""

    item_id: str
    title: str
    reasons: dict[str, float]


class Explanation(BaseModel):
    """How an answer came to be: its rung, why it was not a better one, and the reasons for each item."""

    request_id: str
    surface: str
    path: Strategy
    fallback: str | None = Field(description="Why a better rung did not answer; null where the best one did.")
    model_version: str
    experiment: str | None = None
    variant: str | None = None
    items: list[Explained]


class Info(BaseModel):
    """What is being served: its tags, its tasks, its catalogue and the labels of the Bento."""

    bento: str
    model: str
    model_version: str
    tasks: list[str]
    num_users: int
    num_items: int
    labels: dict[str, str]


class ErrorCode(StrEnum):
    """What a program may decide by; the texts of errors may change."""

    INVALID_REQUEST = "invalid_request"
    UNAUTHENTICATED = "unauthenticated"
    MISSING_SCOPE = "missing_scope"
    FOREIGN_PAGE = "foreign_page"
    UNKNOWN_SHOP = "unknown_shop"
    UNKNOWN_PATH = "unknown_path"
    UNKNOWN_ANSWER = "unknown_answer"
    MALFORMED_HTTP = "malformed_http"
    HEADERS_TIMEOUT = "headers_timeout"
    HEADERS_TOO_LARGE = "headers_too_large"
    URL_TOO_LONG = "url_too_long"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    KEY_CONFLICT = "key_conflict"
    BODY_TOO_LARGE = "body_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    RATE_LIMITED = "rate_limited"
    INTERNAL_ERROR = "internal_error"
    STORE_UNAVAILABLE = "store_unavailable"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"


class Problem(BaseModel):
    """Why a request was refused, in the shape that a refused field has too."""

    code: str = Field("", description="For programs; stays the same while texts may change.", examples=list(ErrorCode))
    error: str
    detail: list[dict[str, Any]] = []
