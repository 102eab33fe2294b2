"""Every endpoint by the scope that its key needs, each with a request that it answers."""

from typing import Any

from tests.support.open_shops import event

EVENTS = {"events": [event(1, "someone", "i15", "cart")]}
READ: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/recommend"): {"json": {"user_id": "someone"}},
    ("POST", "/recommend/batch"): {"json": {"requests": [{"user_id": "someone"}]}},
    ("POST", "/search"): {"json": {"query": "thing"}},
    ("POST", "/similar"): {"json": {"item_id": "i15"}},
    ("GET", "/explain/{request_id}"): {},
    ("GET", "/users/{user_id}/tier"): {},
    ("GET", "/experiments"): {},
    ("GET", "/info"): {},
}
WRITE: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/events"): {"json": EVENTS},
    ("POST", "/items"): {"json": {"items": [{"item_id": "kettle", "title": "kettle"}]}},
    ("POST", "/users"): {"json": {"users": [{"user_id": "someone", "attributes": {"plan": "gold"}}]}},
}
NDJSON = {"content": b"", "headers": {"content-type": "application/x-ndjson"}}
ADMIN: dict[tuple[str, str], dict[str, Any]] = {
    ("DELETE", "/items/{item_id}"): {},
    ("DELETE", "/user-attributes/{user_id}"): {},
    ("DELETE", "/users/{user_id}"): {},
    ("GET", "/export/{kind}"): {},
    ("POST", "/import/{kind}"): NDJSON,
}
OPEN = {("GET", "/"), ("GET", "/metrics"), ("GET", "/docs.json"), ("GET", "/healthz/store")}
