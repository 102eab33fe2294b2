"""experiments.yaml as frozen, closed models: variants, their shares, and what each changes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationInfo,
    field_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from services.names import Surface
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, Share, parse

_ROUNDING = 1e-9  # shares such as .1 + .2 + .7 add up to a little more than 1
_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
Salt = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", max_length=64)]


def _no_number(value: Any) -> Any:
    """Refuse what pydantic would take for seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("a moment looks like 2024-01-31T08:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


@dataclass(frozen=True)
class VariantOverrides:
    """What a variant changes, one field a knob; None leaves it as it is.

    release: which of the two models answers; task: what the list foretells
    novelty, max_per_category: replace the policy's, for every tier
    """

    release: Literal["champion", "challenger"] | None = None
    task: Literal["next", "discovery"] | None = None
    novelty: float | None = None
    max_per_category: int | None = None

    @property
    def knobs(self) -> frozenset[str]:
        """The fields that change something."""
        return frozenset(one.name for one in fields(self) if getattr(self, one.name) is not None)

    @classmethod
    def merged(cls, several: Iterable[Self]) -> Self:
        """All of them at once; they have no knob in common."""
        return cls(**{knob: getattr(one, knob) for one in several for knob in one.knobs})


class VariantPolicy(Params):
    """What a variant's lists favour; see Policy in params.yaml."""

    novelty: Annotated[float, Field(ge=-1, le=1)] | None = None
    max_per_category: PositiveInt | None = None


class Variant(Params):
    """One arm: its share of all users, and what it changes (nothing: a control)."""

    share: Share
    policy: VariantPolicy = VariantPolicy()
    release: Literal["champion", "challenger"] | None = None
    task: Literal["next", "discovery"] | None = None

    @property
    def overrides(self) -> VariantOverrides:
        """What this variant changes."""
        return VariantOverrides(self.release, self.task, self.policy.novelty, self.policy.max_per_category)


class Experiment(Params):
    """Variants shown side by side; the first one is what the others are compared with.

    salt: decides who is where; the experiment's name where there is none
    goal: what counts as success within horizon_hours of a list being shown
    expected_users: where the intervals are tightest; to be set before the start and not by what is seen
    starts, ends: from one moment to just before the other, UTC where they say nothing else
    """

    surfaces: Annotated[tuple[Surface, ...], Field(min_length=1)]
    variants: Annotated[dict[Name, Variant], Field(min_length=2)]
    salt: Salt | None = None
    goal: Literal["purchase", "click", "cart"] = "purchase"
    horizon_hours: PositiveFloat = 72.0
    expected_users: PositiveInt = 10_000
    starts: Moment = _BEGINNING
    ends: Moment = _END

    @property
    def knobs(self) -> frozenset[str]:
        """What any of the variants changes."""
        return frozenset[str]().union(*(variant.overrides.knobs for variant in self.variants.values()))

    def meets(self, other: "Experiment") -> bool:
        """Whether there is a moment at which both run."""
        return max(self.starts, other.starts) < min(self.ends, other.ends)

    @field_validator("variants")
    @classmethod
    def _fit_into_all_users(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        total = sum(variant.share for variant in variants.values())
        if not 0 < total <= 1 + _ROUNDING:
            raise ValueError(f"the shares add up to {total:g}, wanted more than 0 and at most 1")
        return variants

    @field_validator("ends")
    @classmethod
    def _after_the_start(cls, ends: datetime, info: ValidationInfo) -> datetime:
        if "starts" in info.data and ends <= info.data["starts"]:
            raise ValueError("it is not after starts")
        return ends


class _Named(Params):
    """The name of an experiment, so that a bad one is told like any other bad setting."""

    name: Name


def read_experiments(path: Path) -> dict[str, Experiment]:
    """Read experiments.yaml; a missing or empty file holds none.

    Raises SettingsError naming the key, or the two experiments that would change the same thing on the same surface.
    """
    if not path.exists():
        return {}
    try:
        raw = YAML(typ="safe").load(path.read_text()) or {}
    except (OSError, UnicodeDecodeError, YAMLError) as error:
        raise SettingsError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{path}: holds {type(raw).__name__}, wanted a mapping of experiments by name")
    found = {}
    for name, block in raw.items():
        known = parse(_Named, {"name": name}, str(path)).name
        found[known] = parse(Experiment, block, f"{path}: {known}")
    for pair in combinations(found.items(), 2):
        _refuse_clash(path, *pair)
    return found


def _refuse_clash(path: Path, first: tuple[str, Experiment], second: tuple[str, Experiment]) -> None:
    (one, left), (other, right) = first, second
    if (left.salt or one) == (right.salt or other):
        raise SettingsError(f"{path}: {one} and {other} have the same salt, so they would split users alike")
    surfaces, knobs = set(left.surfaces) & set(right.surfaces), left.knobs & right.knobs
    if surfaces and knobs and left.meets(right):
        raise SettingsError(
            f"{path}: {one} and {other} both change {min(knobs)} on {min(surfaces)} at the same time; "
            "end one before the other starts, or make them variants of one experiment"
        )
