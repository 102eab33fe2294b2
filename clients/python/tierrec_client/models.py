"""Requests and answers, generated from the service's OpenAPI document by `make client`; do not edit."""

from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, ConfigDict, Field

from tierrec_client.base import Model


class Context(Model):
    """What is known of the moment. basket: what lies in the cart now; attributes: segments that rules ask for."""

    model_config = ConfigDict(extra="forbid")
    basket: Annotated[
        list[str], Field(description="Item ids in the cart; they are folded in and not shown.", max_length=1000)
    ] = []
    attributes: Annotated[
        dict[str, str | float | bool | None],
        Field(description="Facts of this visit, such as {'device': 'app'}.", max_length=50),
    ] = {}


class Deletion(Model):
    """Of how many items or users the posted attributes were deleted; 0 if nothing was posted."""

    deleted: int


class Erasure(Model):
    """
    Rows that were deleted; from now on the user is unknown, also to the model.

    complete: whether the files have no copies either; if not, the service removes them later
    """

    events: int
    impressions: int
    users: int
    complete: bool = True


class EventIn(Model):
    """Something that a user did. key makes a retried post harmless: the same key counts once."""

    model_config = ConfigDict(extra="forbid")
    key: Annotated[
        str,
        Field(
            description="Unique for the event, made by the sender.", max_length=256, min_length=1, pattern="^[^\\x00]+$"
        ),
    ]
    user_id: Annotated[str, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")]
    item_id: Annotated[str, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")]
    event: Literal["impression", "view", "click", "favourite", "cart", "rating", "purchase", "redeem"]
    timestamp: Annotated[AwareDatetime | None, Field(description="When; now where it is left out.")] = None
    value: Annotated[float | None, Field(description="Money paid, or stars.", ge=0.0)] = None
    quantity: Annotated[float | None, Field(description="Pieces; negative for a return.")] = None
    session_id: Annotated[str | None, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")] = None
    channel: Annotated[str | None, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")] = None
    request_id: Annotated[
        str | None,
        Field(description="The answer that showed the item.", max_length=256, min_length=1, pattern="^[^\\x00]+$"),
    ] = None


class Explained(Model):
    """One item that was shown, and what speaks for it now, strongest first."""

    item_id: str
    title: str
    reasons: dict[str, float]


class Explanation(Model):
    """How an answer came to be: its rung, why it was not a better one, and the reasons for each item."""

    request_id: str
    surface: str
    path: Literal["blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"]
    fallback: Annotated[str | None, Field(description="Why a better rung did not answer; null where the best one did.")]
    model_version: str
    experiment: str | None = None
    variant: str | None = None
    items: list[Explained]


class Fallback(Model):
    """Which rung of the ladder should have answered, and why it did not."""

    wanted: Literal["blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"]
    reason: str


class Info(Model):
    """What is being served: its tags, its tasks, its catalogue and the labels of the Bento."""

    bento: str
    model: str
    model_version: str
    tasks: list[str]
    num_users: int
    num_items: int
    labels: dict[str, str]


class Interval(Model):
    """A mean over users with its 95% interval."""

    value: float
    low: float
    high: float


class Item(Model):
    """One item of a list. reasons add up to the blend's score, strongest first; only with explain."""

    item_id: str
    title: str
    score: float
    reasons: dict[str, float] | None = None


class ItemIn(Model):
    """An item to be served from now on, or new facts of one; filters and rules may ask for its attributes."""

    model_config = ConfigDict(extra="forbid")
    item_id: Annotated[str, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")]
    title: Annotated[str | None, Field(max_length=500)] = None
    category: Annotated[str | None, Field(max_length=200)] = None
    brand: Annotated[str | None, Field(max_length=200)] = None
    price: Annotated[float | None, Field(ge=0.0)] = None
    stock: Annotated[float | None, Field(description="0 or less hides the item.")] = None
    available_from: AwareDatetime | None = None
    available_until: AwareDatetime | None = None
    on_promotion: Annotated[bool | None, Field(description="Whether the surface ads may show it.")] = None
    attributes: Annotated[dict[str, str | float | bool | None], Field(max_length=100)] = {}


class KeyConflict(Model):
    """An event that is not stored, since another one has its key. index: its position in the batch, from 0."""

    index: int
    key: str
    status: int = 409
    reason: str = "key: is stored with another event; send this one with a key of its own"


class LineError(Model):
    """A line that was refused, counted from 1, and why."""

    line: int
    error: str


class Problem(Model):
    """Why a request was refused, in the shape that a refused field has too."""

    code: Annotated[
        str,
        Field(
            description="For programs; stays the same while texts may change.",
            examples=[
                "invalid_request",
                "unauthenticated",
                "missing_scope",
                "foreign_page",
                "unknown_shop",
                "unknown_path",
                "unknown_answer",
                "malformed_http",
                "headers_timeout",
                "headers_too_large",
                "url_too_long",
                "method_not_allowed",
                "key_conflict",
                "body_too_large",
                "unsupported_media_type",
                "rate_limited",
                "internal_error",
                "store_unavailable",
                "overloaded",
                "timeout",
            ],
        ),
    ] = ""
    error: str
    detail: list[dict[str, Any]] = []


class RecommendRequest(Model):
    """
    Somebody who wants a list: a user by id, or a visitor by what they took, oldest first.

    Neither is an empty history; a user_id that nobody knows counts as one.
    """

    model_config = ConfigDict(extra="forbid")
    user_id: Annotated[
        str | None,
        Field(
            description="A user of the log, or one who was posted.", max_length=256, min_length=1, pattern="^[^\\x00]+$"
        ),
    ] = None
    history: Annotated[list[str] | None, Field(description="Item ids of a visitor, oldest first.", max_length=1000)] = (
        None
    )
    surface: Annotated[
        Literal["products", "ads", "campaigns", "onboarding", "rank"], Field(description="Where the list is shown.")
    ] = "products"
    task: Annotated[
        Literal["next", "discovery"] | None,
        Field(description="next: with items met before; discovery: without. None = the package's default."),
    ] = None
    k: Annotated[int | None, Field(description="How many items; 10, or all for the surface rank.", ge=1, le=100)] = None
    items: Annotated[
        list[str] | None, Field(description="What to sort; for the surface rank, and only there.", max_length=1000)
    ] = None
    context: Annotated[Context | None, Field(description="What is known of the moment.")] = None
    exclude: Annotated[list[str], Field(description="Item ids that must not be in the answer.", max_length=1000)] = []
    filter: Annotated[
        str | None,
        Field(description="A SQL condition over item attributes: price < 10 and brand in ('A', 'B').", max_length=2000),
    ] = None
    cursor: Annotated[
        str | None, Field(description="From the answer before: the next page, with nothing twice.", max_length=32768)
    ] = None
    explain: Annotated[bool, Field(description="Give the reasons for each item.")] = False


class SearchRequest(Model):
    """Words that somebody typed; with a user_id the hits are ordered by their interests too."""

    model_config = ConfigDict(extra="forbid")
    query: Annotated[str, Field(description="What was typed; small typos do no harm.", max_length=200, min_length=1)]
    user_id: Annotated[
        str | None, Field(description="Whose interests count.", max_length=256, min_length=1, pattern="^[^\\x00]+$")
    ] = None
    k: Annotated[int, Field(description="How many items.", ge=1, le=100)] = 10
    exclude: Annotated[list[str], Field(description="Item ids that must not be in the answer.", max_length=1000)] = []
    filter: Annotated[
        str | None,
        Field(description="A SQL condition over item attributes: price < 10 and brand in ('A', 'B').", max_length=2000),
    ] = None
    cursor: Annotated[
        str | None, Field(description="From the answer before: the next page, with nothing twice.", max_length=32768)
    ] = None
    context: Context | None = None


class SimilarRequest(Model):
    """An item whose like is wanted."""

    model_config = ConfigDict(extra="forbid")
    item_id: Annotated[str, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")]
    user_id: Annotated[
        str | None,
        Field(description="Whose interests count among equals.", max_length=256, min_length=1, pattern="^[^\\x00]+$"),
    ] = None
    k: Annotated[int, Field(ge=1, le=100)] = 10
    exclude: Annotated[list[str], Field(max_length=1000)] = []
    filter: Annotated[
        str | None,
        Field(description="A SQL condition over item attributes: price < 10 and brand in ('A', 'B').", max_length=2000),
    ] = None
    cursor: Annotated[
        str | None, Field(description="From the answer before: the next page, with nothing twice.", max_length=32768)
    ] = None
    context: Context | None = None


class TierAnswer(Model):
    """What is known of a user: tier, share of interest by layer, and the risk that they do not come back."""

    tier: str
    known_user: bool
    interests: dict[str, float]
    churn_risk: Annotated[
        float | None, Field(description="Probability of no purchase in the next churn_days, calibrated.")
    ]
    churn_days: float | None
    churn_calibration_error: Annotated[
        float | None, Field(description="Expected calibration error on the test window.")
    ]
    model_version: str


class UserIn(Model):
    """A user to be known from now on; attributes are segments for rules and audits, never a model's input."""

    model_config = ConfigDict(extra="forbid")
    user_id: Annotated[str, Field(max_length=256, min_length=1, pattern="^[^\\x00]+$")]
    attributes: Annotated[dict[str, str | float | bool | None], Field(max_length=100)] = {}


class VariantResult(Model):
    """
    One variant so far; becomes JSON by dataclasses.asdict.

    share: the planned one; users: those who were shown something
    rate: users who converted over users; mean_conversions: conversions a user
    difference: of the rate to the first variant's; None for the first itself. All differences hold the truth at once
    and at every look with 95%.
    split_p_value, mismatch: whether users came in the planned shares (of the whole experiment); if not, all verdicts
    but the baseline's are `undecided`. Shares that were changed while it ran are a mismatch too.
    """

    variant: str
    share: float
    users: int
    impressions: int
    conversions: int
    rate: Interval
    mean_conversions: float
    difference: Interval | None
    verdict: Literal["baseline", "better", "worse", "undecided"]
    split_p_value: float
    mismatch: bool


class Acknowledged(Model):
    """What is safely stored now. duplicates were stored before; errors: the others, which are not stored."""

    accepted: int
    duplicates: int
    errors: Annotated[list[KeyConflict], Field(validate_default=True)] = []


class Answer(Model):
    """A list, best first, shorter than k when there is nothing more; and how it came to be."""

    items: list[Item]
    path: Literal["blend", "fold", "cf", "cold", "tier_prior", "popularity", "campaigns", "search", "similar"]
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


class BatchResult(Model):
    """
    An answer, or what is wrong with its request. index: the request's position, from 0; status: as HTTP's.

    request_id: the answer's, and that of the log lines about it: the batch's X-Request-Id and the index
    """

    index: int
    status: int
    request_id: str
    answer: Answer | None = None
    error: str | None = None


class EventBatch(Model):
    """Events in any order."""

    model_config = ConfigDict(extra="forbid")
    events: Annotated[list[EventIn], Field(max_length=1000, min_length=1)]


class Imported(Model):
    """
    What came of an import. What is accepted is stored; duplicates are events whose key was stored before.

    deleted: how many of the accepted lines deleted what was posted of an item or a user
    first_errors: of at most ten refused lines
    lines: how many are dealt with, those that were skipped among them
    stopped: why there was no going on; the rest can be sent with skip=lines
    """

    accepted: int = 0
    duplicates: int = 0
    deleted: int = 0
    rejected: int = 0
    first_errors: Annotated[list[LineError], Field(max_length=10, validate_default=True)] = []
    lines: int = 0
    stopped: str | None = None


class ItemBatch(Model):
    """Items to add or to change."""

    model_config = ConfigDict(extra="forbid")
    items: Annotated[list[ItemIn], Field(max_length=1000, min_length=1)]


class RecommendBatch(Model):
    """Requests for lists, each answered for itself."""

    model_config = ConfigDict(extra="forbid")
    requests: Annotated[list[RecommendRequest], Field(max_length=100, min_length=1)]


class UserBatch(Model):
    """Users to add or to change."""

    model_config = ConfigDict(extra="forbid")
    users: Annotated[list[UserIn], Field(max_length=1000, min_length=1)]


class BatchAnswer(Model):
    """A result for each request, in their order."""

    results: list[BatchResult]
