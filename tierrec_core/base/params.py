"""Base class of settings blocks, field metadata, and validation with errors that name the nearest valid key."""

import difflib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tierrec_core.base.errors import SettingsError

Share = Annotated[float, Field(ge=0, le=1)]
P = TypeVar("P", bound="Params")


@dataclass(frozen=True)
class RenamedFrom:
    """Field metadata: `key` is the field's former name. It is accepted until 0.3, in params.yaml with a FutureWarning.

    convert turns a value of the former key into one of the current key.

        max_repeat_candidates: Annotated[PositiveInt, RenamedFrom("own_items")] = 200
        early_stopping: Annotated[PositiveInt | None, RenamedFrom("patience", lambda epochs: epochs or None)] = None
    """

    key: str
    convert: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class SearchRange:
    """Range of an option: integers when both ends are integers, on a log scale if `log`; or the given choices.

    In `Annotated[PositiveFloat, SearchRange(1.0, 1e4, log=True)]` it bounds the search, not the option.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()


class Params(BaseModel):
    """A block of params.yaml: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _accept_former_keys(cls, raw: Any) -> Any:
        """Not part of `parse`, because saved models and releases may have former keys, too."""
        if not isinstance(raw, Mapping):
            return raw
        block = dict(raw)
        for key, former in _renames(cls, raw):
            if key in block:
                raise ValueError(f"{former.key} is now {key}, and both are given; remove {former.key}")
            block[key] = former.convert(block.pop(former.key))
        return block


def warn_renamed(where: str, old: str, new: str) -> None:
    """Emit the FutureWarning for a former name in params.yaml."""
    message = f"{where}: {old} is now {new}; rename it, the old name is not accepted from version 0.3"
    warnings.warn(message, FutureWarning, stacklevel=2)


def parse(kind: type[P], raw: Mapping[str, Any], where: str) -> P:
    """Validate one block. `where` begins the message of its SettingsError and of the warnings of renamed keys."""
    try:
        block = kind.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()[:3]]
        raise SettingsError("\n".join(f"{where}: {line}" for line in lines)) from error
    for old, new in _former_keys(kind, raw, ()):
        warn_renamed(where, old, new)
    return block


def search_space(config: type[Params]) -> Mapping[str, SearchRange]:
    """The searchable options of a Config by name, before inherited ones; empty without any range."""
    fields = config.model_fields
    names = dict.fromkeys([*(name for name in config.__annotations__ if name in fields), *fields])
    return {name: entry for name in names for entry in fields[name].metadata if isinstance(entry, SearchRange)}


def _renames(model: type[BaseModel], raw: Mapping[str, Any]) -> Iterator[tuple[str, RenamedFrom]]:
    """Current key and former name of each option of this block that is given by its former name."""
    for name, field in model.model_fields.items():
        for entry in field.metadata:
            if isinstance(entry, RenamedFrom) and entry.key in raw:
                yield field.alias or name, entry


def _former_keys(annotation: Any, raw: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Dotted former and current key of every renamed option in `raw`, at any depth."""
    if not isinstance(raw, Mapping):
        return
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        renames = {former.key: key for key, former in _renames(annotation, raw)}
        yield from ((".".join((*path, old)), ".".join((*path, new))) for old, new in renames.items())
        for name, field in annotation.model_fields.items():
            key = field.alias or name
            yield from _former_keys(field.annotation, raw.get(key), (*path, key))
    elif get_origin(annotation) is dict:
        for key, value in raw.items():
            yield from _former_keys(get_args(annotation)[1], value, (*path, str(key)))
    else:
        for argument in get_args(annotation):
            yield from _former_keys(argument, raw, path)


def _explain(kind: type[BaseModel], problem: Any) -> str:
    """One line for one pydantic error. An unknown key gets the nearest key of its block, else of all blocks."""
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *outer, name = problem["loc"]
        closest = _nearest(name, _block(kind, outer)) or _nearest(name, _all_models(kind))
        hint = f"; did you mean {closest[0]!r}?" if closest else ""
        return f"{location}: unknown key{hint}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error" and isinstance(problem["input"], Mapping):
        return ": ".join(filter(None, [location, message]))
    return f"{location}: {message[0].lower()}{message[1:]}; found {problem['input']!r:.80}"


def _nearest(name: object, models: Sequence[type[BaseModel]]) -> list[str]:
    """The key of these models that is closest to `name`, in a list; empty when none is close."""
    keys = {field.alias or key for model in models for key, field in model.model_fields.items()}
    return difflib.get_close_matches(str(name), sorted(keys), n=1)


def _block(kind: type[BaseModel], path: Sequence[object]) -> list[type[BaseModel]]:
    """The models that `path` can lead to; keys of dicts and tags of unions are passed over."""
    models = [kind]
    for part in path:
        inner = [
            nested
            for model in models
            for name, field in model.model_fields.items()
            if part == (field.alias or name)
            for nested in _models(field.annotation)
        ]
        models = inner or models
    return models


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models named in an annotation, at any depth of unions and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _all_models(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """A settings model and all models inside it."""
    inner = [model for field in kind.model_fields.values() for model in _models(field.annotation)]
    return [kind, *(nested for model in inner for nested in _all_models(model))]
