"""What times without an offset are read as: the zone of a column, the given one, or UTC, which is said."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from tierrec_core.sources.schema_inference.columns.roles import Guess, describe_content
from tierrec_core.sources.schema_inference.event_names import plain
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.time_formats import has_offsets
from tierrec_core.sources.times.time_zones import known_zone

_NAMES = frozenset(("timezone", "tz", "zeitzone", "timezonename", "tzname", "zone", "utcoffset", "tzoffset", "tzid"))
_MAX_ZONES = 60


def with_zone_column(log: LogFile) -> LogFile:
    """The log with the column that has the time zone of each row, if there is one and all zones are known."""
    used = {guess.value for guess in log.roles.values()}
    for name in (name for name in log.preview.columns if name not in used and plain(name).endswith(tuple(_NAMES))):
        if _is_zone_name(name) and not _unknown(log.preview.sample[name]) and _needs_zone(log):
            guess = Guess("timezone", name, f"the zone of each time; {describe_content(log.preview, name)}")
            return replace(log, roles=log.roles | {"timezone": guess})
    return log


def assumed_zone(logs: Sequence[LogFile], given: str | None) -> Guess | None:
    """The zone of times without an offset; None where all have one, or a column has their zone."""
    first = next((log for log in logs if "timezone" not in log.roles and _needs_zone(log)), None)
    if first is None:
        return None
    example = f"times without an offset such as {str(first.values('timestamp').dropna().iloc[0])[:40]!r}"
    if given is not None:
        return Guess("timezone", given, f"given, for {example}")
    sample = first.preview.sample
    unread = [name for name in first.preview.columns if _is_zone_name(name) and sample[name].notna().any()]
    why = "".join(f"; {name} is not read, as it has {', '.join(_unknown(sample[name])[:2])!r}" for name in unread)
    return Guess("timezone", "UTC", f"assumed for {example}{why}")


def _is_zone_name(name: str) -> bool:
    return plain(name) in _NAMES or plain(name.rpartition(".")[2]) in _NAMES


def _unknown(cells: pd.Series) -> list[str]:
    """The values that are no known zones; an empty column has none, too, which is shown by an empty text."""
    kinds = cells.dropna().astype("string").unique()
    return [str(kind) for kind in kinds if known_zone(str(kind)) is None] if 0 < len(kinds) <= _MAX_ZONES else [""]


def _needs_zone(log: LogFile) -> bool:
    return log.time_format.unit in (None, "days") and not has_offsets(log.values("timestamp"))
