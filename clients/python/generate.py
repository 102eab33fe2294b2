"""Generates the client's models from the service's OpenAPI document; `make client` writes them."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from services.api import app
from services.api.openapi import openapi_document
from services.auth.limits import RequestLimits
from services.observability.metrics import ServiceMetrics
from services.tenants.shops import Shops

ROOT = Path(__file__).parents[2]
MODELS = Path(__file__).parent / "tierrec_client" / "models.py"
_HEADER = '"""Requests and answers, generated from the service\'s OpenAPI document by `make client`; do not edit."""'
_OPTIONS = (
    *("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"),
    *("--base-class", "tierrec_client.base.Model", "--target-python-version", "3.11"),
    *("--enum-field-as-literal", "all", "--disable-future-imports", "--custom-file-header", _HEADER),
    *("--use-annotated", "--strict-nullable", "--use-schema-description", "--use-single-line-docstring"),
    *("--no-formatters", "--use-double-quotes"),
)


def service_document() -> dict[str, Any]:
    """Return the service's OpenAPI document."""
    application = FastAPI()
    app.configure_app(application, Shops({}, ServiceMetrics(CollectorRegistry())), RequestLimits())
    return openapi_document(application, app.required_scope)


def generate_models() -> str:
    """Return the source of tierrec_client/models.py."""
    document = service_document()
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {name: _simplify(schema) for name, schema in schemas.items()}
    with tempfile.TemporaryDirectory() as folder:
        source, models = Path(folder) / "openapi.json", Path(folder) / "models.py"
        source.write_text(json.dumps(document))
        files = ("--input", source, "--output", models)
        subprocess.run([sys.executable, "-m", "datamodel_code_generator", *files, *_OPTIONS], check=True)
        return _ruff("format", _ruff("check", models.read_text(), "--fix-only", "--exit-zero"))


def _ruff(command: str, code: str, *options: str) -> str:
    arguments = [sys.executable, "-m", "ruff", command, *options, "--stdin-filename", str(MODELS), "-"]
    return subprocess.run(arguments, input=code, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def _simplify(schema: Any) -> Any:
    """Rewrite a schema so that each field becomes a plain type rather than a wrapper class.

    Titles are removed, limits of a nullable value move to its field, an optional object is empty by default, and limits
    of a list's items and of a mapping's keys are checked by the service only.
    """
    if isinstance(schema, list):
        return [_simplify(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    simple = {name: _simplify(value) for name, value in schema.items() if not isinstance(value, str) or name != "title"}
    match simple:
        case {"anyOf": [{"type": "string" | "integer" | "number" | "array" as kind, **limits}, {"type": "null"}]}:
            return (
                limits | {name: value for name, value in simple.items() if name != "anyOf"} | {"type": [kind, "null"]}
            )
        case {"type": "array", "items": {"type": "string"}}:
            simple["items"] = {"type": "string"}
        case {"patternProperties": dict(values)}:
            del simple["patternProperties"], simple["propertyNames"]
            simple |= {"additionalProperties": next(iter(values.values())), "default": {}}
    return simple


if __name__ == "__main__":
    MODELS.write_text(generate_models())
