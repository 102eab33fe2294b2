"""Patterns that cannot fit a text are not tried; what is read stays the same."""

import pandas as pd
import pytest

from tierrec_core.sources.time_formats import TIME_FORMATS, given_time_format, parse_times

MOMENT = pd.Timestamp("2024-03-15 14:07:09", tz="UTC")
FORMATS = {time_format.name: time_format for time_format in TIME_FORMATS}
TEXTS = {
    "dates like 31.12.2024": {
        "15.03.24": "2024-03-15",
        "15.03.2024": "2024-03-15",
        "15.03.24 14:07:09.1234": "2024-03-15 14:07:09.1234",
        "15.03.2024 14:07:09.123456": "2024-03-15 14:07:09.123456",
        "15.03.2024T14:07": "2024-03-15 14:07",
        "15.03.24 02:07 PM": "2024-03-15 14:07",
        "15.03.2024 14:07 Uhr": "2024-03-15 14:07",
        "15.03.2024 14h07": "2024-03-15 14:07",
    },
    "dates like 31 Dec 2024": {
        "15 Mar 24 14:07:09": "2024-03-15 14:07:09",
        "15-Mar-2024": "2024-03-15",
        "Mar 15 2024 02:07:09PM": "2024-03-15 14:07:09",
        "Friday March 15 2024 14:07": "2024-03-15 14:07",
    },
    "dates like 31/Dec/2024:13:00:00 +0000": {
        "15/Mar/2024:14:07:09 +0000": "2024-03-15 14:07:09",
        "15/Mar/2024:16:07:09 +02:00": "2024-03-15 14:07:09",
    },
    "dates like Tue, 31 Dec 2024 13:00:00 +0000": {"Fri, 15 Mar 2024 14:07:09 GMT": "2024-03-15 14:07:09"},
    "dates like 20241231": {"20240315140709": "2024-03-15 14:07:09", "20240315 14:07": "2024-03-15 14:07"},
}


@pytest.mark.parametrize(
    ("name", "text", "wanted"), [(name, *pair) for name, texts in TEXTS.items() for pair in texts.items()]
)
def test_texts_of_a_format(name: str, text: str, wanted: str) -> None:
    (found,) = parse_times(pd.Series([text], dtype="string"), FORMATS[name], "UTC")
    assert found == pd.Timestamp(wanted, tz="UTC")


@pytest.mark.parametrize("pattern", ["%Y-%m-%d %X", "%d/%m/%y %H%M%S", "%H:%M:%S %d %m %Y", "%Y-%m-%dT%H:%M:%S%z"])
def test_a_given_pattern_is_tried_on_all_texts(pattern: str) -> None:
    text = MOMENT.strftime(pattern)
    time_format = given_time_format(pattern)
    (found,) = parse_times(pd.Series([text], dtype="string"), time_format, "UTC")
    assert found == MOMENT
