"""Assigns users to variants by a hash of salt and user id, so that nothing has to be stored."""

import hashlib
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Self

from services.experiments.settings import Experiment, VariantOverrides, read_experiments
from services.names import SURFACES
from tierrec_core.base.errors import SettingsError

JOINT = "+"  # joins the names of simultaneous experiments, and of their variants
_DIGEST_BYTES = 8
_FLOAT_BITS = 53  # a float's precision, so that the largest hash stays below 1


@dataclass(frozen=True)
class Assignment:
    """The variant of a user on a surface.

    experiment, variant: None if the user is in no experiment; for simultaneous experiments on different knobs, their
    names in the order of the file, joined by JOINT
    propensity: the probability of this assignment, in (0, 1]
    """

    experiment: str | None
    variant: str | None
    propensity: float
    overrides: VariantOverrides


NO_VARIANT = Assignment(None, None, 1.0, VariantOverrides())


class _Assigner:
    """Assigns users to the variants of one experiment, by the part of [0, 1) that each occupies.

    The first grows from 0 upwards, the others from 1 downwards in the order of the file, and users in no variant are in
    between. So no user changes variant when the share of the first or of the last grows, or a variant is added at the
    end: with two variants, for either. No stateless rule can guarantee this for each of three.
    """

    def __init__(self, name: str, experiment: Experiment) -> None:
        self.starts, self.ends = experiment.starts, experiment.ends
        variants = experiment.variants
        self._assignments = [Assignment(name, key, arm.share, arm.overrides) for key, arm in variants.items()]
        self._first, *others = [variant.share for variant in variants.values()]
        self._edges = list(accumulate(others))
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=(experiment.salt or name).encode())

    def assign(self, user: bytes) -> Assignment | None:
        hashed = self._hash.copy()
        hashed.update(user)
        bits = int.from_bytes(hashed.digest()) >> (8 * _DIGEST_BYTES - _FLOAT_BITS)
        point = bits / (1 << _FLOAT_BITS)
        if point < self._first:
            return self._assignments[0]
        band = bisect_left(self._edges, 1 - point) + 1
        return self._assignments[band] if band < len(self._assignments) else None


@dataclass(frozen=True)
class Experiments:
    """All experiments of one shop, by name."""

    by_name: Mapping[str, Experiment]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read experiments.yaml; a missing file has none. Raises SettingsError with the location of the error."""
        return cls(read_experiments(path))

    def check(self, tasks: Collection[str]) -> None:
        """Raise SettingsError for a variant whose task is not served."""
        for name, experiment in self.by_name.items():
            for key, variant in experiment.variants.items():
                if variant.task is not None and variant.task not in tasks:
                    raise SettingsError(
                        f"{name}.variants.{key}.task: {variant.task!r} is not served; wanted one of {', '.join(tasks)}"
                    )

    def assign(self, user_id: str | None, surface: str, now: datetime) -> Assignment:
        """The user's assignment on the surface at `now`, which has a time zone; NO_VARIANT for users without an id."""
        assigners = self._by_surface.get(surface)
        if not assigners or user_id is None:
            return NO_VARIANT
        user = user_id.encode()
        running = [assigner for assigner in assigners if assigner.starts <= now < assigner.ends]
        assignments = [assigned for assigner in running if (assigned := assigner.assign(user)) is not None]
        return _joint(assignments) if len(assignments) > 1 else next(iter(assignments), NO_VARIANT)

    def labels(self, name: str) -> list[str]:
        """Every possible `Assignment.experiment` of a user in this experiment, its own name first."""
        order = list(self.by_name)
        combinations: set[tuple[str, ...]] = {(name,)}
        for surface in self.by_name[name].surfaces:
            groups: list[tuple[str, ...]] = [(name,)]
            for other in order:
                if other != name and surface in self.by_name[other].surfaces:
                    groups += [(*group, other) for group in groups if self._overlaps(other, group)]
            combinations.update(groups)
        return [JOINT.join(sorted(group, key=order.index)) for group in sorted(combinations, key=len)]

    def may_pick_a_release(self, label: str) -> bool:
        """Whether an `Assignment.experiment` may select the release; assumed for experiments no longer in the file."""
        experiments = [self.by_name.get(name) for name in label.split(JOINT)]
        return any(experiment is None or "release" in experiment.knobs for experiment in experiments)

    def _overlaps(self, other: str, group: Iterable[str]) -> bool:
        return all(self.by_name[other].overlaps(self.by_name[name]) for name in group)

    @cached_property
    def _by_surface(self) -> Mapping[str, Sequence[_Assigner]]:
        assigners = {name: _Assigner(name, experiment) for name, experiment in self.by_name.items()}
        return {
            surface: [assigners[name] for name, experiment in self.by_name.items() if surface in experiment.surfaces]
            for surface in SURFACES
        }


def variant_of(experiment: str, assigned: str, variant: str) -> str | None:
    """The user's variant in one experiment, from the names in their Assignment; None if they were not in it."""
    return dict(zip(assigned.split(JOINT), variant.split(JOINT), strict=True)).get(experiment)


def _joint(assignments: Sequence[Assignment]) -> Assignment:
    return Assignment(
        experiment=JOINT.join(str(assignment.experiment) for assignment in assignments),
        variant=JOINT.join(str(assignment.variant) for assignment in assignments),
        propensity=prod(assignment.propensity for assignment in assignments),
        overrides=VariantOverrides.merged(assignment.overrides for assignment in assignments),
    )
