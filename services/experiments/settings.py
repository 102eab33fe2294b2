"""The schema of experiments.yaml: variants, their shares, and what each changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PositiveFloat, PositiveInt, ValidationInfo, field_validator

from services.names import Surface
from services.shared_files import parse_yaml_mapping, read_text
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import Params, Share, parse

_ROUNDING = 1e-9  # shares such as .1 + .2 + .7 add up to a little more than 1
_BEGINNING, _END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)]
Salt = Annotated[str, Field(pattern=r"^[\x21-\x7e]+$", max_length=64)]


def _no_number(value: Any) -> Any:
    """Refuse numbers, which pydantic would parse as seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("wanted a time such as 2024-01-31T08:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("lies outside of the years 1 to 9999 in UTC") from error


Moment = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_in_utc)]


@dataclass(frozen=True)
class VariantOverrides:
    """What a variant changes, one field a knob; None changes nothing.

    release: which of the two models ranks; task: what the list predicts
    novelty, max_per_category: replace those of the policy, for every tier
    """

    release: Literal["champion", "challenger"] | None = None
    task: str | None = None
    novelty: float | None = None
    max_per_category: int | None = None

    @property
    def knobs(self) -> frozenset[str]:
        """The fields that change something."""
        return frozenset(name for name, value in vars(self).items() if value is not None)

    @classmethod
    def merged(cls, overrides: Iterable[Self]) -> Self:
        """Combine overrides that have no knob in common."""
        return cls(**{knob: getattr(override, knob) for override in overrides for knob in override.knobs})


class VariantPolicy(Params):
    """Overrides of the list policy; see Policy in params.yaml."""

    novelty: Annotated[float, Field(ge=-1, le=1)] | None = None
    max_per_category: PositiveInt | None = None


class Variant(Params):
    """One arm: its share of all users, and what it changes; a control changes nothing."""

    share: Share
    policy: VariantPolicy = VariantPolicy()
    release: Literal["champion", "challenger"] | None = None
    task: str | None = None

    @property
    def overrides(self) -> VariantOverrides:
        """The settings as overrides."""
        return VariantOverrides(self.release, self.task, self.policy.novelty, self.policy.max_per_category)


class Experiment(Params):
    """Variants that run at the same time; the first one is the baseline of the comparisons.

    salt: seeds the assignment of users; defaults to the experiment's name
    goal: the event that counts as success within horizon_hours of a list being shown
    expected_users: where the intervals are tightest; set it before the start, not by the results
    starts (inclusive), ends (exclusive): UTC if they have no time zone
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
        """The knobs that any of the variants changes."""
        return frozenset[str]().union(*(variant.overrides.knobs for variant in self.variants.values()))

    def overlaps(self, other: "Experiment") -> bool:
        """Whether both run at some time."""
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
            raise ValueError("is not after starts; set a later time")
        return ends


class _Named(Params):
    """The name of an experiment, so that an invalid one is reported like any other setting."""

    name: Name


def read_experiments(path: Path) -> dict[str, Experiment]:
    """Read experiments.yaml; a missing or empty file has none.

    Raises SettingsError naming the key, or two experiments that change the same knob on the same surface.
    """
    experiments = {}
    for name, block in parse_yaml_mapping(read_text(path), str(path)).items():
        valid_name = parse(_Named, {"name": name}, str(path)).name
        experiments[valid_name] = parse(Experiment, block, f"{path}: {valid_name}")
    for pair in combinations(experiments.items(), 2):
        _refuse_clash(path, *pair)
    return experiments


def _refuse_clash(path: Path, first: tuple[str, Experiment], second: tuple[str, Experiment]) -> None:
    (name, left), (other, right) = first, second
    if (left.salt or name) == (right.salt or other):
        raise SettingsError(f"{path}: {name} and {other} have the same salt and so split users alike; change one")
    surfaces, knobs = set(left.surfaces) & set(right.surfaces), left.knobs & right.knobs
    if surfaces and knobs and left.overlaps(right):
        raise SettingsError(
            f"{path}: {name} and {other} both change {min(knobs)} on {min(surfaces)} at the same time; "
            "end one before the other starts, or make them variants of one experiment"
        )
