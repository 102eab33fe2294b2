"""Each endpoint as a call that both clients make: what is sent, how the answer is read, whether it may be repeated."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from services.client.answers import VariantResult
from services.client.errors import ServiceError, check
from services.client.fields import (
    EventFields,
    ItemFields,
    RecommendFields,
    SearchFields,
    SimilarFields,
    UserFields,
)
from services.schemas import (
    Acknowledged,
    Answer,
    Body,
    Erasure,
    EventBatch,
    Explanation,
    Info,
    ItemBatch,
    Problem,
    RecommendRequest,
    SearchRequest,
    SimilarRequest,
    TierAnswer,
    UserBatch,
)
from services.transfer.records import NDJSON, Importable, Imported
from tierrec_core.base.errors import DataError

T = TypeVar("T")
B = TypeVar("B", bound=Body)
_JSON = "application/json"


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request. is_repeatable: to be answered twice does no more than to be answered once."""

    method: str
    path: str
    answer: TypeAdapter[T]
    body: bytes | None = None
    media_type: str = _JSON
    params: Mapping[str, Any] = field(default_factory=dict)
    is_repeatable: bool = True

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """What is sent over a connection."""
        headers = {} if self.body is None else {"content-type": self.media_type}
        return http.build_request(
            self.method, self.path, content=self.body, params=self.params, headers=headers
        )

    def read(self, response: httpx.Response) -> T:
        """The answer, typed. Raises ServiceError for a refusal, and for an answer of another kind."""
        check(response)
        try:
            return self.answer.validate_json(response.content)
        except ValidationError as error:
            problem = Problem(
                error=f"{self.path}: not the answer of this release; use the service's own client"
            )
            raise ServiceError(response.status_code, problem) from error


def recommend(request: RecommendRequest | None = None, /, **fields: Unpack[RecommendFields]) -> Call[Answer]:
    """The first k items for a user or a visitor on a surface."""
    return _post("/recommend", _body(RecommendRequest, request, fields), Answer, is_repeatable=False)


def search(request: SearchRequest | None = None, /, **fields: Unpack[SearchFields]) -> Call[Answer]:
    """Items that fit the words, ordered by the user's interests."""
    return _post("/search", _body(SearchRequest, request, fields), Answer, is_repeatable=False)


def similar(request: SimilarRequest | None = None, /, **fields: Unpack[SimilarFields]) -> Call[Answer]:
    """Items that are chosen together with this one, or are like it."""
    return _post("/similar", _body(SimilarRequest, request, fields), Answer, is_repeatable=False)


def events(batch: EventBatch | None = None, /, **fields: Unpack[EventFields]) -> Call[Acknowledged]:
    """Tell what users did; it is stored when this returns. A repeated key counts once."""
    return _post("/events", _body(EventBatch, batch, fields), Acknowledged)


def items(batch: ItemBatch | None = None, /, **fields: Unpack[ItemFields]) -> Call[Acknowledged]:
    """Add items or change what is given of them; they are served from now on."""
    return _post("/items", _body(ItemBatch, batch, fields), Acknowledged)


def users(batch: UserBatch | None = None, /, **fields: Unpack[UserFields]) -> Call[Acknowledged]:
    """Make users known, or change what is given of them."""
    return _post("/users", _body(UserBatch, batch, fields), Acknowledged)


def tier(user_id: str) -> Call[TierAnswer]:
    """A user's tier, interests by layer, and churn risk."""
    return Call("GET", f"/users/{_quoted(user_id)}/tier", TypeAdapter(TierAnswer))


def erase(user_id: str) -> Call[Erasure]:
    """Delete all that is stored of a user; they are unknown from now on."""
    return Call("DELETE", f"/users/{_quoted(user_id)}", TypeAdapter(Erasure))


def explain(request_id: str) -> Call[Explanation]:
    """How an answer came to be."""
    return Call("GET", f"/explain/{_quoted(request_id)}", TypeAdapter(Explanation))


def experiments() -> Call[dict[str, list[VariantResult]]]:
    """Each experiment's variants so far."""
    return Call("GET", "/experiments", TypeAdapter(dict[str, list[VariantResult]]))


def info() -> Call[Info]:
    """What is being served."""
    return Call("GET", "/info", TypeAdapter(Info))


def import_lines(kind: Importable, lines: bytes) -> Call[Imported]:
    """Keep the records of these lines."""
    return Call("POST", f"/import/{kind}", TypeAdapter(Imported), lines, NDJSON)


def _post(path: str, body: Body, answer: type[T], *, is_repeatable: bool = True) -> Call[T]:
    """What the body leaves out is left out: of an item, it stays as it was."""
    content = body.model_dump_json(exclude_unset=True).encode()
    return Call("POST", path, TypeAdapter(answer), content, is_repeatable=is_repeatable)


def _body(model: type[B], request: B | None, fields: Mapping[str, Any]) -> B:
    """The request as it was given, or made of its fields. Raises ValidationError when a field is wrong."""
    if request is None:
        return model.model_validate(fields)
    if fields:
        raise DataError(f"client: {', '.join(fields)} beside a {model.__name__}; give either, not both")
    return request


def _quoted(name: str) -> str:
    """An id as one part of a path; dots too, for `..` would be taken for the folder above."""
    return quote(name, safe="").replace(".", "%2E")
