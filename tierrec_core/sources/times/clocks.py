"""Times of day in a column of their own: with or without a colon, in hours, with AM and PM, as a share of a day."""

import pandas as pd

_CLOCK = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?([ \u00a0\u202f]?([AaPp]\.?[Mm]\.?|Uhr))?"
_VALID_CLOCK = r"([01]?\d|2[0-3]):[0-5]\d(:[0-5]\d)?.*"
_VALID_DIGITS, _MIN_VALID = r"([01]\d|2[0-3])[0-5]\d[0-5]\d", 0.95
_MIDNIGHT = r"[ T]0?0:00(:00(\.0+)?)?$"
_NO_DAY = r"^[\d./-]*(?:1899|1900|1970|0001)[\d./-]*[ T](?=\d{1,2}:\d\d)"  # as Excel and pandas write a time alone
_SERIAL = r"([3-5]\d{4})(?:\.0+)?"  # a day of 1982 to 2064, as spreadsheets count them
_SHARE = r"0?[.,]\d{3,}"
_FULL_DAY, _LATE = 86_400, 72_000  # seconds
_HOURS = (
    (r"(?i)^(\d{1,2}) ?(?:h|uhr|hrs?)\.?$", r"\1:00"),
    (r"(?i)^(\d{1,2}) ?h ?(\d\d)$", r"\1:\2"),
    (r"(?i)^(\d{1,2}) ?([ap])\.?m\.?$", r"\1:00 \2m"),
    (r"^(\d{1,2})\.(\d\d)$", r"\1:\2"),
    (r"^(\d{1,2})\.(\d\d)\.(\d\d)$", r"\1:\2:\3"),
    (_NO_DAY, ""),
)


def with_time_of_day(days: pd.Series, clocks: pd.Series, pattern: str | None = None) -> pd.Series:
    """Days and times of day of two columns as texts, [N]; a day beside a cell without a digit stays alone.

    pattern: of both, if it is given; else times of day without a colon get one, and days of a spreadsheet are dates
    """
    texts = days.astype("string").str.replace(_MIDNIGHT, "", regex=True)
    texts = texts if pattern else _with_dates(texts)
    times = clocks.astype("string") if pattern else _with_colons(clocks)
    return texts.str.cat(times.where(times.str.contains(r"\d").fillna(False)), sep=" ").fillna(texts)


def _with_dates(days: pd.Series) -> pd.Series:
    """Days as texts, [N], in ISO 8601 where all are numbers of days as in spreadsheets."""
    if not days.dropna().str.fullmatch(_SERIAL).all():
        return days
    numbers = pd.to_numeric(days.str.replace(_SERIAL, r"\1", regex=True))
    return (pd.Timestamp("1899-12-30") + pd.to_timedelta(numbers, unit="D")).dt.strftime("%Y-%m-%d").astype("string")


def _with_colons(clocks: pd.Series) -> pd.Series:
    """Times of day such as 930, 0930, 093015, 9, 9h30 and 9 AM as 09:30, 09:30:15 and 9:00, [N]; others as they are.

    Numbers are shares of a day where most have a fraction, and hours where most have no more than two digits, 24 being
    0; else hours and minutes or, where one is above 2359, with seconds. Where many cannot be so, but all are of one
    day, they are seconds since midnight.
    """
    texts = clocks.astype("string").str.strip()
    if len(filled := texts.dropna()) and filled.str.fullmatch(_SHARE).mean() > 1 / 2:
        shares = pd.to_numeric(texts.str.replace(",", "."), errors="coerce")
        return _of_seconds((shares * _FULL_DAY).where(shares.between(0, 1, inclusive="left"))).fillna(texts)
    texts = texts.str.replace(r"^(\d+)\.0+$", r"\1", regex=True)
    for pattern, colons in _HOURS:
        texts = texts.str.replace(pattern, colons, regex=True)
    is_number = texts.str.fullmatch(r"\d{1,6}").fillna(False).astype(bool)
    return texts.where(~is_number, _digits_with_colons(texts[is_number])) if is_number.any() else texts


def _digits_with_colons(texts: pd.Series) -> pd.Series:
    """Times of day of digits alone with colons, [N]."""
    numbers, widths = pd.to_numeric(texts), texts.str.len()
    if _are_seconds(texts):
        return _of_seconds(numbers)
    is_hours = bool((widths < 3).mean() > 1 / 2) or (numbers.max() < 24 and widths.max() < 4)
    num_digits = 2 if is_hours else 4 if numbers.max() < 2400 and widths.max() < 5 else 6
    digits = texts.str.zfill(num_digits)
    digits = digits.str.replace("^24$", "00", regex=True) if is_hours else digits
    parts = digits.str.replace(r"(\d\d)(?=\d)", r"\1:", regex=True)
    return parts + (":00" if num_digits == 2 else "")


def _are_seconds(texts: pd.Series) -> bool:
    """Whether digits are seconds since midnight: many are no hours, minutes and seconds, and all are within a day."""
    is_time = texts.str.zfill(6).str.fullmatch(_VALID_DIGITS).mean() >= _MIN_VALID
    return bool(not is_time and pd.to_numeric(texts).max() < _FULL_DAY)


def _of_seconds(seconds: pd.Series) -> pd.Series:
    """Times of day, [N], of seconds since midnight; missing where they are."""
    return (pd.Timestamp(0) + pd.to_timedelta(seconds.round(), unit="s")).dt.strftime("%H:%M:%S").astype("string")


def is_number_clock(cells: pd.Series) -> pd.Series:
    """Whether each cell is a time of day without a mark, such as 14, 930 or 093015, or with an h or a half, [N].

    Seconds are times of day if they reach the last hours of a day: durations do not.
    """
    digits = cells.astype("string").str.strip()
    digits = digits[digits.str.fullmatch(r"\d{1,6}").fillna(False)]
    if len(digits) and _are_seconds(digits) and pd.to_numeric(digits).max() < _LATE:
        return pd.Series(False, cells.index)
    texts = _with_colons(cells)
    return is_clock(texts) & texts.str.fullmatch(_VALID_CLOCK).fillna(False).astype(bool)


def is_clock(cells: pd.Series) -> pd.Series:
    """Whether each cell is a time of day, [N]."""
    return cells.astype("string").str.fullmatch(_CLOCK).fillna(False).astype(bool)
