"""Renamed keys: the former name works, warns, and is refused beside the current one."""

from typing import Annotated

import pytest
from pydantic import Field, PositiveInt

from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, RenamedFrom, parse


class Inner(Params):
    width: Annotated[PositiveInt, RenamedFrom("size")] = 8
    early_stopping: Annotated[PositiveInt | None, RenamedFrom("patience", lambda epochs: epochs or None)] = None


class Outer(Params):
    one: Inner | None = None
    named: dict[str, Inner] = Field(default={})


@pytest.mark.parametrize(
    ("raw", "current", "warning"),
    [
        ({"one": {"size": 3}}, {"one": {"width": 3}}, r"params\.yaml: one\.size is now one\.width; .*0\.3"),
        (
            {"named": {"size": {"size": 3}}},
            {"named": {"size": {"width": 3}}},
            r"named\.size\.size is now named\.size\.width",
        ),
        ({"one": {"patience": 0}}, {"one": {"early_stopping": None}}, r"one\.patience is now one\.early_stop"),
        ({"one": {"patience": 2}}, {"one": {"early_stopping": 2}}, r"one\.patience is now one\.early_stop"),
    ],
)
def test_a_former_key_is_read_with_a_warning(raw, current, warning) -> None:
    with pytest.warns(FutureWarning, match=warning) as caught:
        block = parse(Outer, raw, "params.yaml")
    assert len(caught) == 1
    assert block == Outer.model_validate(current)


def test_a_saved_block_is_read_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert Inner.model_validate({"size": 3}) == Inner(width=3)
    parse(Outer, {"one": {"width": 3}}, "params.yaml")
    assert not recwarn


def test_both_names_at_once_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"params\.yaml: one: size is now width, and both are given; remove size"):
        parse(Outer, {"one": {"size": 3, "width": 4}}, "params.yaml")


def test_values_of_a_former_key_are_checked() -> None:
    with pytest.raises(SettingsError, match=r"one\.width: .*greater than 0; found 0"):
        parse(Outer, {"one": {"size": 0}}, "params.yaml")
