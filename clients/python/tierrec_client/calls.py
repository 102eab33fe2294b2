"""One function per endpoint, shared by both clients: each returns the request and how to read its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Literal, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from tierrec_client.base import Model
from tierrec_client.errors import ServiceError, raise_for_status
from tierrec_client.fields import (
    BatchFields,
    EventFields,
    ItemFields,
    RecommendFields,
    SearchFields,
    SimilarFields,
    UserFields,
)
from tierrec_client.models import (
    Acknowledged,
    Answer,
    BatchAnswer,
    Deletion,
    Erasure,
    EventBatch,
    Explanation,
    Imported,
    Info,
    ItemBatch,
    Problem,
    RecommendBatch,
    RecommendRequest,
    SearchRequest,
    SimilarRequest,
    TierAnswer,
    UserBatch,
    VariantResult,
)

NDJSON = "application/x-ndjson"
_BATCH_SECONDS = 30.0  # the service ends a request after 25
ImportKind = Literal["events", "items", "users"]
T = TypeVar("T")
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request and the type of its answer.

    is_idempotent: sending it twice has the effect of sending it once
    seconds: for which the answer is waited for at least, whatever the client's timeout
    """

    method: str
    path: str
    answer: TypeAdapter[T]
    body: bytes | None = None
    media_type: str = "application/json"
    params: Mapping[str, Any] = field(default_factory=dict)
    is_idempotent: bool = True
    seconds: float = 0.0

    def build_request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Build the request with the client's base URL and headers."""
        headers, timeout = {} if self.body is None else {"content-type": self.media_type}, httpx.Timeout(http.timeout)
        if timeout.read is not None:
            timeout.read = max(timeout.read, self.seconds)
        return http.build_request(
            self.method, self.path, content=self.body, params=self.params, headers=headers, timeout=timeout
        )

    def parse(self, response: httpx.Response) -> T:
        """Parse the answer. Raises ServiceError for a refusal and for an answer of another type."""
        raise_for_status(response)
        try:
            return self.answer.validate_json(response.content)
        except ValidationError as error:
            message = f"{self.path}: the answer does not match the client's models; install the service's client"
            raise ServiceError(response.status_code, Problem(error=message)) from error


def recommend(request: RecommendRequest | None = None, /, **fields: Unpack[RecommendFields]) -> Call[Answer]:
    """Return the first k items for a user or a visitor on a surface."""
    return _post("/recommend", _body(RecommendRequest, request, fields), Answer, is_idempotent=False)


def recommend_batch(batch: RecommendBatch | None = None, /, **fields: Unpack[BatchFields]) -> Call[BatchAnswer]:
    """Return a result for each of up to 100 requests, in their order: an answer, or an error with its status.

    The answer is waited for at least 30 s.
    """
    call = _post("/recommend/batch", _body(RecommendBatch, batch, fields), BatchAnswer, is_idempotent=False)
    return replace(call, seconds=_BATCH_SECONDS)


def search(request: SearchRequest | None = None, /, **fields: Unpack[SearchFields]) -> Call[Answer]:
    """Return items that match the query, ordered by the user's interests."""
    return _post("/search", _body(SearchRequest, request, fields), Answer, is_idempotent=False)


def similar(request: SimilarRequest | None = None, /, **fields: Unpack[SimilarFields]) -> Call[Answer]:
    """Return items that are similar to an item or bought with it."""
    return _post("/similar", _body(SimilarRequest, request, fields), Answer, is_idempotent=False)


def events(batch: EventBatch | None = None, /, **fields: Unpack[EventFields]) -> Call[Acknowledged]:
    """Post user events; they are stored when this returns. A repeated key counts once."""
    return _post("/events", _body(EventBatch, batch, fields), Acknowledged)


def items(batch: ItemBatch | None = None, /, **fields: Unpack[ItemFields]) -> Call[Acknowledged]:
    """Add items, or change the given fields of known ones; they are served from now on."""
    return _post("/items", _body(ItemBatch, batch, fields), Acknowledged)


def users(batch: UserBatch | None = None, /, **fields: Unpack[UserFields]) -> Call[Acknowledged]:
    """Add users, or change the given attributes of known ones."""
    return _post("/users", _body(UserBatch, batch, fields), Acknowledged)


def delete_item(item_id: str) -> Call[Deletion]:
    """Delete what was posted of an item, which is in no answer until it is posted again."""
    return Call("DELETE", f"/items/{_quote(item_id)}", TypeAdapter(Deletion))


def delete_attributes(user_id: str) -> Call[Deletion]:
    """Delete the attributes that were posted of a user."""
    return Call("DELETE", f"/user-attributes/{_quote(user_id)}", TypeAdapter(Deletion))


def tier(user_id: str) -> Call[TierAnswer]:
    """Return a user's tier, interests by layer, and churn risk."""
    return Call("GET", f"/users/{_quote(user_id)}/tier", TypeAdapter(TierAnswer))


def erase(user_id: str) -> Call[Erasure]:
    """Delete everything stored about a user, who is unknown from now on."""
    return Call("DELETE", f"/users/{_quote(user_id)}", TypeAdapter(Erasure))


def explain(request_id: str) -> Call[Explanation]:
    """Return how an answer was made, with the reasons for each item."""
    return Call("GET", f"/explain/{_quote(request_id)}", TypeAdapter(Explanation))


def experiments() -> Call[dict[str, list[VariantResult]]]:
    """Return each experiment's results so far, by variant."""
    return Call("GET", "/experiments", TypeAdapter(dict[str, list[VariantResult]]))


def info() -> Call[Info]:
    """Return what is being served: release, tasks, sizes."""
    return Call("GET", "/info", TypeAdapter(Info))


def import_lines(kind: ImportKind, lines: bytes) -> Call[Imported]:
    """Store the records of JSON lines."""
    return Call("POST", f"/import/{kind}", TypeAdapter(Imported), lines, NDJSON)


def _post(path: str, body: Model, answer: type[T], *, is_idempotent: bool = True) -> Call[T]:
    """A POST call. Fields that are not set are not sent, so that those of an item stay unchanged."""
    content = body.model_dump_json(exclude_unset=True).encode()
    return Call("POST", path, TypeAdapter(answer), content, is_idempotent=is_idempotent)


def _body(model: type[M], request: M | None, fields: Mapping[str, Any]) -> M:
    """Return the given request, or one made of its fields. Raises ValueError for both and for invalid fields."""
    if request is None:
        return model.model_validate(fields)
    if fields:
        raise ValueError(f"{', '.join(fields)}: given together with a {model.__name__}; give one of them")
    return request


def _quote(text: str) -> str:
    """An id as one segment of a path; dots are quoted too, since `..` would be resolved as the parent folder."""
    return quote(text, safe="").replace(".", "%2E")
