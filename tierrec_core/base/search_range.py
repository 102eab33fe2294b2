"""Where it is worth looking for an option: written beside the option itself, in the Config that has it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tierrec_core.base.params import Params


@dataclass(frozen=True)
class SearchRange:
    """An option's range, a whole number where both ends are, on a log scale if so wished; or the given choices.

    As metadata of a field, `Annotated[PositiveFloat, Span(1.0, 1e4, log=True)]`, it bounds the search, not the option.
    """

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()


def space_of(config: type[Params]) -> Mapping[str, SearchRange]:
    """The options of a Config that are worth searching, each with its span; empty where none says so."""
    return {
        name: one
        for name, field in config.model_fields.items()
        for one in field.metadata
        if isinstance(one, SearchRange)
    }
