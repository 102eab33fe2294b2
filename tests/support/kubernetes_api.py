"""A server on loopback that answers as Kubernetes' API server does to what a target asks: ConfigMaps and a Deployment.

Stored objects are valid by Kubernetes' own schema; conflicts of resourceVersion, missing and existing objects get the
API's status objects. Any other request is 405.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

Answer = tuple[int, dict[str, Any]]
CONFIGMAPS = "/api/v1/namespaces/shop/configmaps"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/tierrec"


class KubernetesApi:
    """The objects by path, and what was asked."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.objects: dict[str, dict[str, Any]] = {}
        self.requests: list[tuple[str, str]] = []
        self._lock, self._version = threading.Lock(), 100

    def put(self, path: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Store a manifest, as any client may."""
        kubernetes_validate.validate(manifest, "1.37", strict=True)
        self._version += 1
        version = {"resourceVersion": str(self._version)}
        self.objects[path] = manifest | {"metadata": manifest["metadata"] | version}
        return self.objects[path]

    def answer(self, method: str, path: str, kind: str, body: dict[str, Any]) -> Answer:
        with self._lock:
            self.requests.append((method, path))
            stored = self.objects.get(path)
            if method == "GET":
                return (200, stored) if stored else failure(404, "NotFound", f'"{path}" not found')
            if method == "POST" and path == CONFIGMAPS:
                return self._create(body)
            if method == "PATCH" and kind == "application/merge-patch+json":
                return self._patch(path, stored, body)
        return failure(405, "MethodNotAllowed", f"{method} {kind} of {path}")

    def _create(self, body: dict[str, Any]) -> Answer:
        path = f"{CONFIGMAPS}/{body['metadata']['name']}"
        if path in self.objects:
            return failure(409, "AlreadyExists", f'"{path}" already exists')
        if "resourceVersion" in body["metadata"]:
            return failure(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        return 201, self.put(path, body)

    def _patch(self, path: str, stored: dict[str, Any] | None, body: dict[str, Any]) -> Answer:
        if stored is None:
            return failure(404, "NotFound", f'"{path}" not found')
        wanted = body.get("metadata", {}).get("resourceVersion")
        if wanted is not None and wanted != stored["metadata"]["resourceVersion"]:
            return failure(
                409, "Conflict", "the object has been modified; please apply your changes to the latest version"
            )
        return 200, self.put(path, merge(stored, body))


def merge(stored: Any, patch: Any) -> Any:
    """A merge patch of RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    base = stored if isinstance(stored, dict) else {}
    kept = {key: value for key, value in base.items() if key not in patch}
    return kept | {key: merge(base.get(key), value) for key, value in patch.items() if value is not None}


def failure(code: int, reason: str, message: str) -> Answer:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return code, status | {"reason": reason, "message": message, "code": code}


@contextmanager
def kubernetes_api(folder: Path) -> Iterator[KubernetesApi]:
    """A running server, and a kubeconfig that leads to it."""
    api = KubernetesApi(folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "")
            code, found = api.answer(self.command, self.path.partition("?")[0], kind, json.loads(text or b"{}"))
            content = json.dumps(found).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names that the base class looks for

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = {"name": "shop", "context": {"cluster": "shop", "user": "shop"}}
    cluster = {"name": "shop", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    config = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "contexts": [context]}
    users = [{"name": "shop", "user": {"token": "secret"}}]
    api.kubeconfig.write_text(yaml.safe_dump(config | {"users": users, "current-context": "shop"}))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
