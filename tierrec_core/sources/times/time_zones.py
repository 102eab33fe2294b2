"""Names of time zones as shops write them: Europe/Berlin, CET, +01:00, Pacific Time (US & Canada)."""

import re
from functools import cache
from zoneinfo import available_timezones

ABBREVIATIONS = {
    "UTC": 0,
    "WET": 0,
    "WEST": 1,
    "CET": 1,
    "CEST": 2,
    "MEZ": 1,
    "MESZ": 2,
    "EET": 2,
    "EEST": 3,
    "MSK": 3,
    "EST": -5,
    "EDT": -4,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
    "JST": 9,
    "KST": 9,
    "AEST": 10,
}  # hours before UTC; CST, IST and BST are several
_OFFSET = re.compile(r"(?:UTC|GMT)? ?([+-])(\d{1,2})(?::?(\d\d))?", re.IGNORECASE)
_HALF_HOURS = {
    (1, 5, 30): "Asia/Kolkata",
    (1, 5, 45): "Asia/Kathmandu",
    (1, 6, 30): "Asia/Yangon",
    (1, 9, 30): "Australia/Darwin",
}
_COMMON_NAMES = {
    "pacific time": "America/Los_Angeles",
    "mountain time": "America/Denver",
    "central time": "America/Chicago",
    "eastern time": "America/New_York",
    "gmt": "UTC",
    "z": "UTC",
    "berlin": "Europe/Berlin",
    "london": "Europe/London",
    "paris": "Europe/Paris",
    "madrid": "Europe/Madrid",
    "rome": "Europe/Rome",
    "amsterdam": "Europe/Amsterdam",
    "vienna": "Europe/Vienna",
    "warsaw": "Europe/Warsaw",
    "tokyo": "Asia/Tokyo",
    "sydney": "Australia/Sydney",
}


@cache
def known_zone(text: str) -> str | None:
    """The name in the tz database of a zone, an abbreviation or an offset; None where it has none."""
    plain = text.strip()
    common = _COMMON_NAMES.get(re.sub(r" ?\(US ?& ?Canada\)", "", plain).lower())
    if common or plain.upper() in ABBREVIATIONS:
        return common or _of_offset(
            1 if ABBREVIATIONS[plain.upper()] >= 0 else -1, abs(ABBREVIATIONS[plain.upper()]), 0
        )
    if match := _OFFSET.fullmatch(plain):
        return _of_offset(1 if match[1] == "+" else -1, int(match[2]), int(match[3] or 0))
    return next((zone for zone in available_timezones() if zone.lower() == plain.lower() and "/" in zone), None)


def _of_offset(sign: int, hours: int, minutes: int) -> str | None:
    """The zone of a fixed offset; the signs of those of whole hours are reversed in the database."""
    if minutes:
        return _HALF_HOURS.get((sign, hours, minutes))
    return f"Etc/GMT{'-' if sign > 0 else '+'}{hours}" if hours <= 12 else None
