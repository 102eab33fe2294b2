"""The OpenAPI document: FastAPI's, with the keys, the shop's header and the links between operations."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from services.api.middleware import SHOP_HEADER
from services.auth.keys import KeyScope

_KEY = {
    "type": "http",
    "scheme": "bearer",
    "bearerFormat": "trk_...",
    "description": "A key of the shop, by `tierrec keys`; an operation names the scope that the key needs. "
    "Requests of the same machine need none as long as there is no key.",
}
_SHOP = {
    "name": SHOP_HEADER,
    "in": "header",
    "required": False,
    "description": "The shop, if the service serves several.",
    "schema": {"type": "string", "default": "default"},
}
_EXPLAIN = ("explain", {"request_id": "$response.body#/request_id"}, None)
_LIST_OF_USER = {"user_id": "$request.body#/events/0/user_id"}
_USER = {"user_id": "$request.body#/users/0/user_id"}
_ITEM = {"item_id": "$request.body#/items/0/item_id"}
# By operation: name of the link -> operation, its path parameters, its body.
_LINKS: dict[str, dict[str, tuple[str, dict[str, str], dict[str, str] | None]]] = {
    "recommend": {"explanation": _EXPLAIN},
    "search": {"explanation": _EXPLAIN},
    "similar": {"explanation": _EXPLAIN},
    "post_events": {
        "list": ("recommend", {}, _LIST_OF_USER),
        "tier": ("user_tier", _LIST_OF_USER, None),
        "erasure": ("erase_user", _LIST_OF_USER, None),
    },
    "post_users": {
        "list": ("recommend", {}, _USER),
        "attributes": ("delete_user_attributes", _USER, None),
        "erasure": ("erase_user", _USER, None),
    },
    "post_items": {"similar": ("similar", {}, _ITEM), "deletion": ("delete_item", _ITEM, None)},
}


def openapi_document(app: FastAPI, scope_of: Callable[[str, str], KeyScope]) -> dict[str, Any]:
    """Return FastAPI's document with what only middleware and handlers know; the same object at each call.

    A field that is wrong is answered with 400, so that FastAPI's 422 and its schemas are left out.
    """
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            operation["security"] = [{"key": [scope_of(method.upper(), path).value]}]
            operation.setdefault("parameters", []).append(_SHOP)
            operation["responses"].pop("422", None)
            if links := _LINKS.get(operation["operationId"]):
                operation["responses"]["200"]["links"] = {name: _link(*link) for name, link in links.items()}
    components = document["components"]
    components["securitySchemes"] = {"key": _KEY}
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    return document


def _link(operation: str, parameters: dict[str, str], body: dict[str, str] | None) -> dict[str, Any]:
    link: dict[str, Any] = {"operationId": operation, "parameters": parameters}
    return link if body is None else link | {"requestBody": body}
