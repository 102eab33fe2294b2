"""Decides file by file whether days or months come first in dates such as 03/04/2024."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import pandas as pd

from tierrec_core.base.errors import DataError
from tierrec_core.sources.time_formats import (
    PLAUSIBLE_TIMES,
    TimeFormat,
    date_readings,
    detect_time_format,
    given_time_format,
    parse_times,
    pattern_of,
)

_MAX_ROWS = 50_000
_MAX_MIXED, _MIN_SURE = 0.05, 0.05
_MIN_RATIO, _MIN_DATES = 3, 3
_MIN_SORTED, _MAX_SORTED, _MIN_STEPS = 0.99, 0.9, 5
_MIN_NAMED, _MAX_NAMED = 0.9, 0.5
_OF_OTHERS = "as in all files"
_OTHER = {"days": "months", "months": "days"}
_YEAR_MONTH = re.compile(r"(?<!\d)(?:(?:19|20)\d\d)[-_. ]?(0[1-9]|1[0-2])(?:[-_. ]?[0-3]\d)?(?!\d)")
_MONTH_NAMES = (
    "jan(uary|uar)?",
    "feb(ruary|ruar)?",
    "mar(ch|z)?|mrz|märz|maerz",
    "apr(il)?",
    "ma[yi]",
    "jun[ei]?",
    "jul[yi]?",
    "aug(ust)?",
    "sept?(ember)?",
    "o[ck]t(ober)?",
    "nov(ember)?",
    "de[cz](ember)?",
)


@dataclass(frozen=True)
class DateFormat:
    """The format of a file's dates, and what shows it.

    pattern: of strptime, where nothing shows whether days or months come first; warning: what is assumed then
    """

    time_format: TimeFormat
    evidence: str
    pattern: str = ""
    warning: str = ""


def date_formats(columns: Mapping[Path, pd.Series], common: TimeFormat) -> dict[Path, DateFormat]:
    """The format of each file in whose dates a day or a month may come first.

    What a file's own dates and its name show precedes what other files with the same mark between numbers show, as
    24.12. and 12/24 are of two programs; where nothing does, days come first.
    common: the format of all files, for those that it parses. Raises DataError where a file's order stays in doubt.
    """
    files = [file for path, values in columns.items() if (file := _DatedFile.of(path, values, common))]
    found = [(file, file.own_order()) for file in files]
    formats = {}
    for file, own in found:
        alike = [order for other, order in found if other.readings is file.readings]  # with the same mark
        sure, others = {order.order for order in alike if order.is_sure}, {one.order for one in alike if one.order}
        formats[file.path] = _with_others(file, own, others, sure)
    return formats


def given_order_format(path: Path, values: pd.Series, pattern: str, *, is_fresh: bool) -> TimeFormat:
    """The format of a file by the pattern of all files, whose order holds for dates with other times of day, too.

    is_fresh: whether it is a new file, of which its period, its steps and its name count, too
    Raises DataError where the dates of the file contradict the order.
    """
    common, order = given_time_format(pattern), {"%d": "days", "%m": "months"}.get(pattern[:2])
    file = _DatedFile.of(path, values, detect_time_format(values)) if order and len(values.dropna()) else None
    if file is None or order is None:
        return common
    own = file.own_order()
    if own.order not in ("", order) and (own.is_sure or is_fresh):
        raise file.question(f"{own.order} first, {own.evidence}, but source.time_format is {pattern!r}")
    is_common = parse_times(file.texts, common, "UTC").notna().mean() > 1 / 2
    return common if is_common else file.readings[order]


def _with_others(file: "_DatedFile", own: "_Order", others: set[str], sure: set[str]) -> DateFormat:
    """The format of a file by its own order or, where it has none, by that of the others."""
    if own.order and sure and own.order not in sure and file.num_dates < _MIN_DATES:
        raise file.question(f"{own.order} first {own.evidence}, and {_OTHER[own.order]} in the other files")
    if not own.order and len(others) > 1:
        raise file.question("other files have both orders, and nothing in this one shows which is its own")
    if not own.order and others:
        own = _Order(next(iter(others)), _OF_OTHERS)
    order, is_known = own.order or "days", own.is_sure or own.is_named or (own.order and own.order in sure)
    evidence = f"{order} first, {own.evidence or 'by default, as no row shows it; --time-format overrides'}"
    if is_known or own.evidence == _OF_OTHERS:
        return DateFormat(file.readings[order], evidence)
    return DateFormat(file.readings[order], evidence, file.pattern(order), file.assumption(order, own.evidence))


@dataclass(frozen=True)
class _Order:
    """Which of days and months comes first, "" if that is open; how it is seen.

    is_sure: if by dates of one order alone; is_named: if by a month in the file's name
    """

    order: str = ""
    evidence: str = ""
    is_sure: bool = False
    is_named: bool = False


@dataclass(frozen=True)
class _DatedFile:
    """Dates of a file, [N], as texts and as they are with days or months first; NaT where an order cannot read one."""

    path: Path
    texts: pd.Series
    readings: Mapping[str, TimeFormat]
    times: Mapping[str, pd.Series]

    @classmethod
    def of(cls, path: Path, values: pd.Series, common: TimeFormat) -> Self | None:
        """None for a file without dates in which a day or a month may come first."""
        texts = values.dropna().iloc[:: max(1, len(values) // _MAX_ROWS)]
        if not len(texts):
            return None
        known = parse_times(texts, common, "UTC").notna().mean() > 1 / 2
        readings = date_readings(common if known else detect_time_format(texts))
        if not readings or (known and common is readings["years"]):
            return None
        times = {order: parse_times(texts, readings[order], "UTC") for order in _OTHER}
        times = {order: moments.where(moments.between(*PLAUSIBLE_TIMES)) for order, moments in times.items()}
        return (
            None
            if max(moments.notna().mean() for moments in times.values()) <= 1 / 2
            else cls(path, texts, readings, times)
        )

    @cached_property
    def num_dates(self) -> int:
        """The number of distinct dates."""
        return int(self.times["days"].fillna(self.times["months"]).dt.floor("D").nunique())

    def own_order(self) -> _Order:
        """The order that the file itself shows. Raises DataError where it shows several."""
        days, months = self.times["days"], self.times["months"]
        shares = {
            "days": float((days.notna() & months.isna()).mean()),
            "months": float((months.notna() & days.isna()).mean()),
        }
        order = max(shares, key=shares.__getitem__)
        if shares[_OTHER[order]] > _MAX_MIXED * sum(shares.values()):
            raise self.question(" and ".join(f"{shares[one]:.1%} of rows can only have {one} first" for one in _OTHER))
        named = self._by_name()
        found = {evidence: one for one, evidence in (self._by_period(), self._by_steps(), named) if one}
        if shares[order] >= _MIN_SURE or (shares[order] and set(found.values()) <= {order}):
            return _Order(order, f"as {shares[order]:.1%} of rows show", is_sure=True)
        if shares[order]:
            found = {f"{shares[order]:.1%} of rows can only be read so": order} | found
        if len(set(found.values())) > 1:
            raise self.question("; ".join(f"{one} first, as {evidence}" for evidence, one in found.items()))
        if not found:
            return _Order()
        return _Order(next(iter(found.values())), "as " + " and ".join(found), is_named=bool(named[0]))

    def _by_period(self) -> tuple[str, str]:
        """The order by which the rows span a much shorter period.

        None where the longer one has one day of each month alone, as monthly data have, or there are few dates.
        """
        dates = {order: moments.dropna().dt.floor("D") for order, moments in self.times.items()}
        spans = {order: (moments.max() - moments.min()).days + 1 for order, moments in dates.items()}
        order = min(spans, key=spans.__getitem__)
        other = dates[_OTHER[order]]
        if dates[order].nunique() < 2 or spans[_OTHER[order]] < _MIN_RATIO * spans[order] or (other.dt.day == 1).all():
            return "", ""
        return order, f"the rows span {spans[order]} days so, else {spans[_OTHER[order]]}"

    def _by_steps(self) -> tuple[str, str]:
        """The order by which the rows stand in the order of their times, or in the reverse."""
        both = self.times["days"].notna() & self.times["months"].notna()
        steps = {order: moments[both].dt.floor("D").diff().dt.days for order, moments in self.times.items()}
        steps = {order: days[days.notna() & (days != 0)] for order, days in steps.items()}
        if min(map(len, steps.values())) < _MIN_STEPS:
            return "", ""
        shares = {order: max((days > 0).mean(), (days < 0).mean()) for order, days in steps.items()}
        order = max(shares, key=shares.__getitem__)
        is_clear = shares[order] >= _MIN_SORTED and shares[_OTHER[order]] <= _MAX_SORTED
        return (order, "the rows are sorted by time so, and not else") if is_clear else ("", "")

    def _by_name(self) -> tuple[str, str]:
        """The order by which the rows lie in the month of which the file's name is."""
        named = {int(month) for month in _YEAR_MONTH.findall(self.path.stem)}
        words = re.findall(r"[^\W\d_]+", self.path.stem.lower())
        named |= {
            number for number, name in enumerate(_MONTH_NAMES, 1) if any(re.fullmatch(name, word) for word in words)
        }
        if len(named) != 1:
            return "", ""
        shares = {order: float(moments.dropna().dt.month.isin(named).mean()) for order, moments in self.times.items()}
        order = max(shares, key=shares.__getitem__)
        is_clear = shares[order] >= _MIN_NAMED and shares[_OTHER[order]] <= _MAX_NAMED
        return (
            (order, f"the name {self.path.name} has the month of {shares[order]:.0%} of rows so")
            if is_clear
            else ("", "")
        )

    @cached_property
    def _patterns(self) -> dict[str, str]:
        """The strptime pattern of the first date in each order."""
        text = str(self.texts.iloc[0])
        return {order: pattern_of(text, reading) for order, reading in self.readings.items() if order in _OTHER}

    def pattern(self, order: str) -> str:
        """The strptime pattern with this order, if it parses all that the format does; else empty."""
        parsed = parse_times(self.texts, given_time_format(self._patterns[order]), "UTC")
        return self._patterns[order] if (parsed.notna() | self.times[order].isna()).all() else ""

    def assumption(self, order: str, evidence: str) -> str:
        """The warning of a file in which no row shows the order, and what is taken from what."""
        return (
            f"{self.path}: {str(self.texts.iloc[0])!r} may have the day or the month first, and 0% of the rows decide "
            f"it, as no day of {self.num_dates} is above 12; {order} are taken to come first{evidence and ', '}"
            f"{evidence}\n--time-format '{self._patterns[_OTHER[order]]}' says that {_OTHER[order]} do; later files "
            "that contradict are refused"
        )

    def question(self, reason: str) -> DataError:
        """The error that asks for the order."""
        return DataError(
            f"{self.path}: {str(self.texts.iloc[0])!r} may have the day or the month first: {reason}\n"
            f"--time-format '{self.path.name}={self._patterns['days']}' says that days come first in this file, "
            f"'{self.path.name}={self._patterns['months']}' that months do (time_format in source.formats)"
        )
