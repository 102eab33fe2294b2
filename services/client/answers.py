"""Answers whose classes in the service need more than pydantic."""

from typing import Literal

from pydantic import BaseModel


class Interval(BaseModel):
    """A value and its always-valid 95% interval."""

    value: float
    low: float
    high: float


class VariantResult(BaseModel):
    """One variant of an experiment so far: see services.experiments.VariantResult."""

    variant: str
    share: float
    users: int
    impressions: int
    conversions: int
    rate: Interval
    mean_conversions: float
    difference: Interval | None
    verdict: Literal["baseline", "better", "worse", "undecided"]
    split_p_value: float
    mismatch: bool
