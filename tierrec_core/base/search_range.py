"""Ranges of hyperparameter search, declared as metadata of the option that they bound."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierrec_core.base.params import Params


@dataclass(frozen=True)
class SearchRange:
    """Range of an option: integers when both ends are integers, on a log scale if `log`; or the given choices.

    In `Annotated[PositiveFloat, SearchRange(1.0, 1e4, log=True)]` it bounds the search, not the option.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()


def search_space(config: type[Params]) -> Mapping[str, SearchRange]:
    """The searchable options of a Config by name; empty when it declares no range."""
    return {
        name: entry
        for name, field in config.model_fields.items()
        for entry in field.metadata
        if isinstance(entry, SearchRange)
    }
