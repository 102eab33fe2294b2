"""A block of settings: frozen, closed, and read so that whoever wrote a wrong key is told which and what is right."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tierrec_core.base.errors import SettingsError

Share = Annotated[float, Field(ge=0, le=1)]
P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """A block of params.yaml: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def parse(kind: type[P], raw: Mapping[str, Any], where: str) -> P:
    """Validate one block; `where` begins the message of the SettingsError that a bad one raises."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()[:3]]
        raise SettingsError("\n".join(f"{where}: {line}" for line in lines)) from error


def _explain(kind: type[BaseModel], problem: Any) -> str:
    """One line for one problem that pydantic found; an unknown key gets the nearest of its block, or else of all."""
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *outer, name = problem["loc"]
        near = _nearest(name, _block(kind, outer)) or _nearest(name, _all_models(kind))
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place}: unknown key{hint}"
    return f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}; found {problem['input']!r:.80}"


def _nearest(name: object, kinds: Sequence[type[BaseModel]]) -> list[str]:
    """The key of these models that looks most like `name`, if any does."""
    keys = {field.alias or key for kind in kinds for key, field in kind.model_fields.items()}
    return difflib.get_close_matches(str(name), sorted(keys), n=1)


def _block(kind: type[BaseModel], path: Sequence[object]) -> list[type[BaseModel]]:
    """The models that may stand at a place; names of a mapping's entries and of a union's kinds lead no deeper."""
    kinds = [kind]
    for part in path:
        inner = [
            model
            for one in kinds
            for name, field in one.model_fields.items()
            if part == (field.alias or name)
            for model in _models(field.annotation)
        ]
        kinds = inner or kinds
    return kinds


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, however deep in unions and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _all_models(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """A settings model and all models inside it."""
    inner = [model for field in kind.model_fields.values() for model in _models(field.annotation)]
    return [kind, *(one for model in inner for one in _all_models(model))]
