"""Who sees which variant: the same user the same one, by a hash of salt and user id and nothing that is stored."""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from math import prod
from pathlib import Path
from typing import Self

from services.experiments.settings import Experiment, VariantOverrides, read_experiments
from services.names import SURFACES

JOINT = "+"  # between the names of several experiments, and of their variants, that hold at once
_DIGEST_BYTES = 8
_FLOAT_BITS = 53  # a float's own precision, so that the largest hash stays below 1


@dataclass(frozen=True)
class Assignment:
    """What a user sees on a surface.

    experiment, variant: None where the user takes part in none; where several experiments on different knobs hold
    at once, both are names in the order of the file with JOINT between them
    propensity: the chance that a user gets this variant, in (0, 1]; of several, their product
    """

    experiment: str | None
    variant: str | None
    propensity: float
    overrides: VariantOverrides


NOBODY = Assignment(None, None, 1.0, VariantOverrides())


@dataclass(frozen=True)
class _Bands:
    """Which part of [0, 1) each variant of one experiment has.

    The first grows from 0 upwards, the others from 1 downwards in the order of the file, and who is in no variant
    lies between. So nobody changes variant while the share of the first or of the last grows, or a variant is added
    at the end: with two variants, whatever grows. No stateless rule could promise that for each of three.
    """

    first: float
    edges: tuple[float, ...]
    assignments: tuple[Assignment, ...]

    @classmethod
    def of(cls, name: str, experiment: Experiment) -> Self:
        shares = [variant.share for variant in experiment.variants.values()]
        return cls(
            first=shares[0],
            edges=tuple(accumulate(shares[1:])),
            assignments=tuple(
                Assignment(name, key, variant.share, variant.overrides)
                for key, variant in experiment.variants.items()
            ),
        )

    def at(self, point: float) -> Assignment | None:
        """Whose band holds the point of [0, 1), if anybody's does."""
        if point < self.first:
            return self.assignments[0]
        place = bisect_left(self.edges, 1 - point) + 1
        return self.assignments[place] if place < len(self.assignments) else None


class _Trial:
    """One experiment, made ready to be asked on each request."""

    def __init__(self, name: str, experiment: Experiment) -> None:
        self.starts, self.ends = experiment.starts, experiment.ends
        self._bands = _Bands.of(name, experiment)
        key = (experiment.salt or name).encode()
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key)

    def assign(self, user: bytes) -> Assignment | None:
        hashed = self._hash.copy()
        hashed.update(user)
        bits = int.from_bytes(hashed.digest()) >> (8 * _DIGEST_BYTES - _FLOAT_BITS)
        return self._bands.at(bits / (1 << _FLOAT_BITS))


@dataclass(frozen=True)
class Experiments:
    """All experiments of one shop by name."""

    by_name: Mapping[str, Experiment]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read experiments.yaml; a missing file holds none. Raises SettingsError saying what is wrong and where."""
        return cls(read_experiments(path))

    def assign(self, user_id: str | None, surface: str, now: datetime) -> Assignment:
        """What the user sees on the surface at `now`, which has a time zone; nobody without an id takes part."""
        trials = self._by_surface.get(surface)
        if not trials or user_id is None:
            return NOBODY
        user = user_id.encode()
        running = [trial for trial in trials if trial.starts <= now < trial.ends]
        found = [one for trial in running if (one := trial.assign(user)) is not None]
        if len(found) > 1:
            return _joint(found)
        return found[0] if found else NOBODY

    def labels(self, name: str) -> list[str]:
        """Every `Assignment.experiment` that somebody in this experiment may have, itself first."""
        order = list(self.by_name)
        found: set[tuple[str, ...]] = {(name,)}
        for surface in self.by_name[name].surfaces:
            groups: list[tuple[str, ...]] = [(name,)]
            for other in order:
                if other != name and surface in self.by_name[other].surfaces:
                    groups += [(*group, other) for group in groups if self._meet(other, group)]
            found.update(groups)
        return [JOINT.join(sorted(group, key=order.index)) for group in sorted(found, key=len)]

    def may_pick_a_release(self, label: str) -> bool:
        """Whether what an `Assignment.experiment` names may pick the model; what the file names no more may."""
        known = [self.by_name.get(name) for name in label.split(JOINT)]
        return any(one is None or "release" in one.knobs for one in known)

    def _meet(self, other: str, group: Iterable[str]) -> bool:
        return all(self.by_name[other].meets(self.by_name[one]) for one in group)

    @cached_property
    def _by_surface(self) -> Mapping[str, Sequence[_Trial]]:
        trials = {name: _Trial(name, one) for name, one in self.by_name.items()}
        return {
            surface: [trials[name] for name, one in self.by_name.items() if surface in one.surfaces]
            for surface in SURFACES
        }


def variant_of(experiment: str, assigned: str, variant: str) -> str | None:
    """The variant that a user had in an experiment, from the two names of their Assignment; None: took no part."""
    return dict(zip(assigned.split(JOINT), variant.split(JOINT), strict=True)).get(experiment)


def _joint(several: Sequence[Assignment]) -> Assignment:
    return Assignment(
        experiment=JOINT.join(str(one.experiment) for one in several),
        variant=JOINT.join(str(one.variant) for one in several),
        propensity=prod(one.propensity for one in several),
        overrides=VariantOverrides.merged(one.overrides for one in several),
    )
