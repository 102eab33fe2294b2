"""All endpoints except those of transfer: each parses a request, calls the shop, and returns the response."""

from time import monotonic
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.convertors import StringConvertor, register_url_convertor

from services import feedback
from services.api.json_route import JsonRoute
from services.experiments import VariantResult, all_results
from services.recommend.explain import explain_answer
from services.recommend.surfaces import recommend_batch, recommendation_job, search_items, similar_items
from services.schemas import (
    Answer,
    BatchAnswer,
    ErrorCode,
    EventBatch,
    Explanation,
    Id,
    Info,
    ItemBatch,
    Name,
    Problem,
    RecommendBatch,
    RecommendRequest,
    SearchRequest,
    SimilarRequest,
    TierAnswer,
    UserBatch,
)
from services.store import Acknowledged, Deletion, Erasure, KeyConflict
from services.tenants.shop import Shop

_LATEST_SECONDS = 23.0  # until the last list of a batch begins; less than an answer may take
PathName = Annotated[Name, Path()]
PathId = Annotated[Id, Path()]
REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "A field is wrong; detail says which."},
    401: {"model": Problem, "description": "No key, or one that is not valid."},
    403: {"model": Problem, "description": "The key lacks the scope."},
    413: {"model": Problem, "description": "The body is too large."},
    415: {"model": Problem, "description": "The body is not JSON."},
    429: {"model": Problem, "description": "Too many requests; Retry-After says when."},
    500: {"model": Problem, "description": "An error that the log names by the answer's X-Request-Id."},
    503: {"model": Problem, "description": "The store does not answer, or too many requests wait; try again."},
    504: {"model": Problem, "description": "The answer takes too long; try again."},
}
_CONFLICT = vars(KeyConflict(1, "e-1"))
_CONFLICTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/json": {"example": {"accepted": 1, "duplicates": 0, "errors": [_CONFLICT]}}}},
    409: {
        "model": Problem,
        "description": "Each event's key is stored with another event; nothing is stored, detail is as errors.",
        "content": {
            "application/json": {
                "example": {"code": ErrorCode.KEY_CONFLICT, "error": _CONFLICT["reason"], "detail": [_CONFLICT]}
            }
        },
    },
}
_INCOMPLETE: dict[int | str, dict[str, Any]] = {
    202: {"model": Erasure, "description": "The rows are deleted, and copies of them in the files will be, too."}
}


def operation_id(route: APIRoute) -> str:
    """The name of the route, for clients that are generated from the document."""
    return route.name


lists, posts, users, experiments, service = (
    APIRouter(tags=[tag], responses=REFUSALS, generate_unique_id_function=operation_id, route_class=JsonRoute)
    for tag in ("lists", "feedback", "users", "experiments", "service")
)


class _AnyText(StringConvertor):
    """Any text in a path: user ids may contain slashes and newlines."""

    regex = "(?s:.+)"


register_url_convertor("text", _AnyText())


def shop_of(request: Request) -> Shop:
    """The shop that ShopMiddleware has selected for the request."""
    shop: Shop = request.scope["state"]["shop"]
    return shop


def json_response(content: Any, status: int = 200) -> Response:
    """Serialize without validation against the response model, which only documents the answer."""
    if isinstance(content, BaseModel):
        content = content.model_dump(mode="json")
    return Response(orjson.dumps(content), status, media_type="application/json")


@lists.post("/recommend", name="recommend", response_model=Answer)
async def _recommend(body: RecommendRequest, request: Request) -> Response:
    """The first k items for a user or a visitor on a surface."""
    shop = shop_of(request)
    if body.history or not shop.activity.holds(body.user_id):
        pool = shop.lists if shop.activity.holds(body.user_id) else shop.look_ups  # which may wait for the store
        return json_response(await pool.run(lambda: recommendation_job(shop, body).run()))
    job = recommendation_job(shop, body)  # a thread would cost as much as the answer
    return json_response(await shop.lists.run(job.run) if job.is_slow else job.run())


@lists.post("/recommend/batch", name="recommend_batch", response_model=BatchAnswer)
async def _recommend_batch(body: RecommendBatch, request: Request) -> Response:
    """Lists for up to 100 users or visitors, with a result for each, so that one that fails does not hide the others.

    A batch with a field that is wrong is refused as a whole; a task, filter or cursor that is not valid is an error of
    its result. Each list that begins counts for the rate limit. Batches wait for one another, and other lists not for
    them.
    """
    shop, take = shop_of(request), request.scope["state"]["take_token"]
    latest = monotonic() + _LATEST_SECONDS
    return json_response(await shop.batches.run(recommend_batch, shop, body.requests, take, latest))


@lists.post("/search", name="search", response_model=Answer)
async def _search(body: SearchRequest, request: Request) -> Response:
    """Items that fit the words, by what they say and what they mean, ordered by the user's interests."""
    shop = shop_of(request)
    return json_response(await shop.lists.run(search_items, shop, body))


@lists.post("/similar", name="similar", response_model=Answer)
async def _similar(body: SimilarRequest, request: Request) -> Response:
    """Items that are chosen together with this one, or are like it."""
    shop = shop_of(request)
    return json_response(await shop.lists.run(similar_items, shop, body))


@lists.get("/explain/{request_id}", name="explain", response_model=Explanation, responses={404: {"model": Problem}})
async def _explain(request_id: PathName, request: Request) -> Response:
    """How an answer came to be: path, why not a better one, and the reasons for each item as of now."""
    shop = shop_of(request)
    explanation = await shop.reads.run(explain_answer, shop, request_id)
    if explanation is None:
        text = f"request_id: no answer {request_id[:64]!r} is known"
        return json_response(Problem(code=ErrorCode.UNKNOWN_ANSWER, error=text), 404)
    return json_response(explanation)


@posts.post("/events", name="post_events", response_model=Acknowledged, responses=_CONFLICTS)
async def _events(body: EventBatch, request: Request) -> Response:
    """Keep events; acknowledged after commit, and in the very next answer. A repeated key counts once.

    A batch with a field that is wrong is refused as a whole, and `detail` names all such fields: nothing is stored.
    Otherwise each event stands for itself. One whose key is stored with another user, item or other field is not
    stored, and is named in `errors` by its index; all others are stored together, in one transaction. The status is 409
    if no event of the batch is stored.
    """
    shop = shop_of(request)
    return _acknowledgement(await shop.writes.run(feedback.post_events, shop, body.events))


def _acknowledgement(added: Acknowledged) -> Response:
    """409 if nothing is stored; `errors` only if there are some."""
    if not added.errors:
        return json_response({"accepted": added.accepted, "duplicates": added.duplicates})
    if added.accepted or added.duplicates:
        return json_response(added)
    conflicts = list(map(vars, added.errors))
    return json_response(Problem(code=ErrorCode.KEY_CONFLICT, error=added.errors[0].reason, detail=conflicts), 409)


@posts.post("/items", name="post_items", response_model=Acknowledged)
async def _items(body: ItemBatch, request: Request) -> Response:
    """Serve items from now on, or with new facts; what a post leaves out stays as it was."""
    shop = shop_of(request)
    return _acknowledgement(await shop.item_writes.run(feedback.post_items, shop, body.items))


@posts.delete("/items/{item_id:text}", name="delete_item", response_model=Deletion)
async def _delete_item(item_id: PathId, request: Request) -> Response:
    """Delete what was posted of an item; it is in no answer from now on, until it is posted again.

    That holds for an item that the models know, too: posted again, it has the attributes of the training and those of
    the new post. Events of the item stay, and the next training may learn from them.
    """
    shop = shop_of(request)
    return json_response(await shop.item_writes.run(feedback.delete_item, shop, item_id))


@users.get("/users/{user_id:text}/tier", name="user_tier", response_model=TierAnswer)
async def _tier(user_id: PathId, request: Request) -> Response:
    """Tier, interests by layer, and churn risk; of somebody unknown, what holds for newcomers."""
    shop = shop_of(request)
    return json_response(await shop.lists.run(feedback.describe_user, shop, user_id))


@users.post("/users", name="post_users", response_model=Acknowledged)
async def _post_users(body: UserBatch, request: Request) -> Response:
    """Make users known, or change their attributes; acknowledged after commit."""
    shop = shop_of(request)
    return _acknowledgement(await shop.writes.run(feedback.post_users, shop, body.users))


@users.delete("/user-attributes/{user_id:text}", name="delete_user_attributes", response_model=Deletion)
async def _delete_attributes(user_id: PathId, request: Request) -> Response:
    """Delete the attributes that were posted of a user; their events stay, as DELETE of the user deletes all."""
    shop = shop_of(request)
    return json_response(await shop.writes.run(feedback.delete_attributes, shop, user_id))


@users.delete("/users/{user_id:text}", name="erase_user", response_model=Erasure, responses=_INCOMPLETE)
async def _erase(user_id: PathId, request: Request) -> Response:
    """Delete all that is stored of a user, and treat them as unknown from now on.

    200 if no byte of the id is left in the files of a SQLite store, and 202, with `complete` false, while copies of the
    deleted rows may be there. They are removed without a further request, for all erasures at once: within seconds in a
    small store, within minutes in a large one, and later while another program reads it, or its disk is full. The same
    request tells, and repeats nothing: it is 202 until then, and 200 after.
    """
    shop = shop_of(request)
    erased = await shop.writes.run(feedback.erase_user, shop, user_id)
    counts = {"events": erased.events, "impressions": erased.impressions, "users": erased.users}
    return json_response(counts) if erased.complete else json_response(counts | {"complete": False}, 202)


@experiments.get("/experiments", name="experiments", response_model=dict[str, list[VariantResult]])
async def _results(request: Request) -> Response:
    """Each experiment's variants with always-valid 95% intervals: looking often does no harm."""
    shop = shop_of(request)
    return json_response(await shop.reads.run(_read_results, shop))


def _read_results(shop: Shop) -> dict[str, list[VariantResult]]:
    return all_results(shop.configuration.now.experiments, shop.store)


@service.get("/info", name="info", response_model=Info)
async def _info(request: Request) -> Response:
    """The champion's tags, tasks, catalogue and labels."""
    model = shop_of(request).models.champion
    release = model.release
    return json_response(
        Info(
            bento=release.bento,
            model=release.model,
            model_version=release.model_version,
            tasks=list(model.precomputed.ranked_lists),
            num_users=len(model.precomputed.users),
            num_items=len(model.catalogue) - len(model.catalogue.deleted),
            labels=release.labels,
        )
    )
