"""Finds the column of times of day beside one of days alone: 14:30, 2 PM, 930, 14, 9h30, 0.604."""

import re
from dataclasses import replace

import pandas as pd

from tierrec_core.sources.schema_inference.columns.names import name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.columns.times import FOLLOWS_EVENT
from tierrec_core.sources.schema_inference.event_names import words
from tierrec_core.sources.schema_inference.preview import FilePreview, few_filled
from tierrec_core.sources.time_formats import TimeFormat, parse_times
from tierrec_core.sources.times.clocks import is_clock, is_number_clock, with_time_of_day

_MIN_NUMBERS, _OF_NAMED = 0.95, 0.005
_NO_CLOCK = re.compile(
    r"durat|dauer|slot|open|clos|[oö]e?ffnung|watch|prep|lead|wait|spent|length|elapsed|runtime|playtime|lifetime|cooking|"
    r"lauf|liefer|zustell|abhol|warte|fahr|arbeit|bereitung|koch|(back|gar|lade|lese|spiel|verweil)zeit",
    re.IGNORECASE,
)
_CLOCK_WORD = re.compile(
    r"hour|hr|hh|hhmm|hhmmss|time|clock|uhrzeit|zeit|stunde|heure|hora|ora|tijd|uur|tid|godzina|czas|hod|cas|midnight|"
    r"erzet|uzeit|cputm|utime"
)
_NO_HOUR = re.compile(r"since|between|until|per|avg|mean|total|num|count|worked|zone|stamp|times")
_COMPOUND = re.compile(r"(uhr)?zeit$|time$", re.IGNORECASE)


def find_time_of_day(
    preview: FilePreview, time: Guess, time_format: TimeFormat, assigned: set[str]
) -> tuple[Guess, FilePreview, TimeFormat] | None:
    """The column of times of day beside one of days, the preview with both in the latter, and their format."""
    scores = {name: _clock_score(name) for name in clock_columns(preview, time, time_format, assigned)}
    clock = max(scores, key=scores.__getitem__, default=None)
    if clock is None or not scores[clock]:
        return None
    moments = with_time_of_day(preview.sample[time.value], preview.sample[clock], preview.time_format)
    found = replace(preview, sample=moments.to_frame(time.value)).time_formats
    if time.value not in found:
        return None
    evidence = f"times of day, read with {time.value}, such as {moments.dropna().iloc[0]!r}"
    joined = replace(preview, sample=preview.sample.assign(**{time.value: moments}))
    return Guess("time_of_day", clock, evidence), joined, found[time.value]


def _clock_score(name: str) -> float:
    """As name_score, of a time of day; in Belegzeit and saletime, zeit and time are words."""
    score = max(name_score(role, _COMPOUND.sub(r" \g<0>", name)) for role in ("timestamp", "time_of_day"))
    return score or _OF_NAMED * _is_clock_name(name)


def clock_columns(preview: FilePreview, time: Guess, time_format: TimeFormat, assigned: set[str]) -> list[str]:
    """Columns of times of day beside one of days alone, but those of durations and of what follows an event."""
    days = few_filled(preview.sample[time.value])
    if parse_times(days, time_format, "UTC").dt.time.nunique() > 1:
        return []
    return [
        name
        for name in preview.columns
        if name not in assigned
        and not (FOLLOWS_EVENT.search(name) or _NO_CLOCK.search(name))
        and _has_clocks(name, preview.sample[name])
    ]


def _has_clocks(name: str, cells: pd.Series) -> bool:
    """Whether most cells are times of day; by its name, too, where they have no colon, such as 930 and 14."""
    few = few_filled(cells)
    if is_clock(few).mean() > 1 / 2:
        return True
    return _is_clock_name(name) and bool(is_number_clock(cells.dropna()).mean() >= _MIN_NUMBERS)


def _is_clock_name(name: str) -> bool:
    """Whether a column is called as hours or times of day are, and not as numbers of hours."""
    parts = words(_COMPOUND.sub(r" \g<0>", name))
    return any(map(_CLOCK_WORD.fullmatch, parts)) and ("midnight" in parts or not any(map(_NO_HOUR.fullmatch, parts)))
