"""Times of day in a column of their own: with or without a colon, in hours, with AM and PM."""

import pandas as pd

_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?([ \u00a0\u202f]?([AaPp]\.?[Mm]\.?|Uhr))?"
_VALID_CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?.*"
_MIDNIGHT = r"[ T]0?0:00(:00(\.0+)?)?$"
_HOURS = (
    (r"(?i)^(\d{1,2}) ?(?:h|uhr|hrs?)\.?$", r"\1:00"),
    (r"(?i)^(\d{1,2}) ?h ?(\d\d)$", r"\1:\2"),
    (r"(?i)^(\d{1,2}) ?([ap])\.?m\.?$", r"\1:00 \2m"),
    (r"^(\d{1,2})\.(\d\d)$", r"\1:\2"),
)


def with_time_of_day(days: pd.Series, clocks: pd.Series, pattern: str | None = None) -> pd.Series:
    """Days and times of day of two columns as texts, [N]; a day beside a cell without a digit stays alone.

    pattern: of both, if it is given; else times of day without a colon get one
    """
    texts = days.astype("string").str.replace(_MIDNIGHT, "", regex=True)
    times = clocks.astype("string") if pattern else _with_colons(clocks)
    return texts.str.cat(times.where(times.str.contains(r"\d").fillna(False)), sep=" ").fillna(texts)


def _with_colons(clocks: pd.Series) -> pd.Series:
    """Times of day such as 930, 0930, 093015, 9, 9h30 and 9 AM as 09:30, 09:30:15 and 9:00, [N]; others as they are.

    Numbers are hours where most have no more than two digits, 24 being 0; else hours and minutes or, where one is
    above 2359, with seconds.
    """
    texts = clocks.astype("string").str.strip().str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    for pattern, colons in _HOURS:
        texts = texts.str.replace(pattern, colons, regex=True)
    is_number = texts.str.fullmatch(r"\d{1,6}").fillna(False).astype(bool)
    if not is_number.any():
        return texts
    numbers = pd.to_numeric(texts[is_number])
    widths = texts[is_number].str.len()
    is_hours = bool((widths < 3).mean() > 1 / 2) or (numbers.max() < 24 and widths.max() < 4)
    num_digits = 2 if is_hours else 4 if numbers.max() < 2400 and widths.max() < 5 else 6
    digits = texts[is_number].str.zfill(num_digits)
    digits = digits.str.replace("^24$", "00", regex=True) if is_hours else digits
    parts = digits.str.replace(r"(\d\d)(?=\d)", r"\1:", regex=True)
    return texts.where(~is_number, parts + (":00" if num_digits == 2 else "")).reindex(texts.index)


def is_number_clock(cells: pd.Series) -> pd.Series:
    """Whether each cell is a time of day without a mark, such as 14, 930 or 093015, or with an h or a half, [N]."""
    return is_clock(_with_colons(cells)) & _with_colons(cells).str.fullmatch(_VALID_CLOCK).fillna(False).astype(bool)


def is_clock(cells: pd.Series) -> pd.Series:
    """Whether each cell is a time of day, [N]."""
    return cells.astype("string").str.fullmatch(_CLOCK).fillna(False).astype(bool)
