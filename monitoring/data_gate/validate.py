"""Stage `validate`: the data gate of raw events.

Rows that break a row rule go to quarantine with the reason. The gate closes and stops the pipeline when a table rule
fails, among them the share of rows in quarantine. Report, quarantine and Data Docs are written either way.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd

from monitoring.data_gate.expectations import as_utc, item_rules, row_rules, table_rules
from monitoring.data_gate.inspection import Inspection, RuleOutcome
from tierrec_core.base.artifacts import read_frame, replacing_folder, write_frame, write_json
from tierrec_core.base.contracts import EVENTS, ITEMS, BoolArray, is_guest
from tierrec_core.base.errors import EmptyDataError, GateCrash, GateError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, ValidateSettings

_MAX_RULES = 2  # in the error's message
_MAX_REASONS = 3
_WEEK = 7


def run(layout: Layout, settings: Settings) -> None:
    """Read raw EVENTS and ITEMS; write the report, the valid events, the quarantine and Data Docs.

    Raises EmptyDataError without rows, GateError when the gate closes, GateCrash when a rule could not be evaluated.
    """
    events = read_frame(layout.raw_events, EVENTS)
    if events.empty:
        raise EmptyDataError(f"{layout.raw_events}: has no rows, wanted events; check source in params.yaml")
    inspection = Inspection.begin()
    now = datetime.now(UTC)
    verdict = ValidationVerdict.of(inspection, events, read_frame(layout.raw_items, ITEMS), settings.validate_, now)
    write_json(verdict.report(), layout.validation)
    write_frame(verdict.quarantine(events), layout.quarantine)
    with replacing_folder(layout.data_docs) as folder:
        inspection.write_docs(folder)
    if not verdict.passed:
        layout.valid_events.unlink(missing_ok=True)
        raise verdict.error(layout)
    write_frame(events[~verdict.bad], layout.valid_events)


@dataclass(frozen=True)
class LogMeasures:
    """Measures of a log; shares are of rows or days. All but bad_share and duplicate_share are over valid rows."""

    num_events: int
    num_users: int
    num_items: int
    oldest_event: pd.Timestamp
    newest_event: pd.Timestamp
    bad_share: float
    duplicate_share: float
    quiet_days_share: float

    @classmethod
    def of(cls, events: pd.DataFrame, bad: BoolArray, settings: ValidateSettings) -> Self:
        """Measure EVENTS whose row r is bad where bad[r], [N]; N is at least 1. Guests' rows may be alike."""
        good, guests = events[~bad], is_guest(events)
        return cls(
            num_events=len(good),
            num_users=good.loc[~guests, "user_id"].nunique(),
            num_items=good["item_id"].nunique(),
            oldest_event=good["timestamp"].min(),
            newest_event=good["timestamp"].max(),
            bad_share=float(bad.mean()),
            duplicate_share=float((events.duplicated() & ~guests).mean()),
            quiet_days_share=quiet_days_share(good["timestamp"], settings.min_day_share_of_median),
        )

    def frame(self) -> pd.DataFrame:
        """One row with a column per measure, for Great Expectations."""
        return pd.DataFrame([asdict(self)])


@dataclass(frozen=True)
class ValidationVerdict:
    """Results of all rules. broken: for each row rule, a mask of the rows that break it, [N]."""

    outcomes: tuple[RuleOutcome, ...]
    broken: Mapping[str, BoolArray]
    measures: LogMeasures

    @classmethod
    def of(
        cls,
        inspection: Inspection,
        events: pd.DataFrame,
        items: pd.DataFrame | None,
        settings: ValidateSettings,
        now: datetime,
    ) -> Self:
        """Validate EVENTS [N], N at least 1, and ITEMS, if given, as of `now`."""
        rows = inspection.evaluate("events", events, row_rules(settings, now))
        numbers = np.arange(len(events))
        broken = {outcome.rule.name: np.isin(numbers, outcome.rows) for outcome in rows}
        measures = LogMeasures.of(events, np.logical_or.reduce(list(broken.values())), settings)
        table = inspection.evaluate("log", measures.frame(), table_rules(settings, as_utc(now)))
        catalogue = [] if items is None else inspection.evaluate("items", items, item_rules(settings))
        return cls((*rows, *table, *catalogue), broken, measures)

    @property
    def bad(self) -> BoolArray:
        """Rows that break at least one row rule, [N]."""
        bad: BoolArray = np.logical_or.reduce(list(self.broken.values()))
        return bad

    @property
    def passed(self) -> bool:
        """No rule crashed, and every table rule passed."""
        return not self._with_status("ERROR") and not self._failed_table_rules()

    def quarantine(self, events: pd.DataFrame) -> pd.DataFrame:
        """The bad rows of the validated EVENTS, with the rules that each breaks in a column `reason`."""
        return events[self.bad].assign(reason=self._reasons.array)

    def report(self) -> dict[str, Any]:
        """The verdict, ready for JSON; the same log gives the same bytes."""
        size = len(self.bad)
        return {
            "passed": self.passed,
            "rows": {"raw": size, "valid": int((~self.bad).sum()), "quarantined": int(self.bad.sum())},
            "measures": {name: _to_json(value) for name, value in vars(self.measures).items()},
            "quarantine": {str(reason): int(rows) for reason, rows in self._reasons.value_counts().items()},
            "rules": [_describe(outcome, size) for outcome in self.outcomes],
        }

    def error(self, layout: Layout | None) -> GateError:
        """The error to raise: failed rules, observed and wanted values, remedies, and the files to inspect, if any."""
        files = f"see {layout.validation} and {layout.quarantine}" if layout else ""
        if crashed := self._with_status("ERROR"):
            names = ", ".join(outcome.rule.name for outcome in crashed)
            return GateCrash(
                f"validate: {names} could not be checked: {crashed[0].error.strip():.200}\n"
                f"wanted: {crashed[0].rule.wanted}; the data may be fine, check its columns; {files}"
            )
        lines = [self._describe_failure(outcome) for outcome in self._failed_table_rules()]
        more = f"{len(lines) - _MAX_RULES} more rules failed; " if len(lines) > _MAX_RULES else ""
        return GateError("\n".join(filter(None, [*lines[:_MAX_RULES], more + files])))

    def _describe_failure(self, outcome: RuleOutcome) -> str:
        rule = outcome.rule
        observed = f"{outcome.found:.4g}" if isinstance(outcome.found, float) else outcome.found
        worst = [f"{reason} {rows:,}" for reason, rows in self._reasons.value_counts().head(_MAX_REASONS).items()]
        reasons = f" ({', '.join(worst)} rows)" if rule.name == "bad_share" else ""
        return f"validate: {rule.name} is {observed}{reasons}, wanted {rule.wanted}; {rule.remedy}"

    def _with_status(self, status: str) -> list[RuleOutcome]:
        return [outcome for outcome in self.outcomes if outcome.status == status]

    def _failed_table_rules(self) -> list[RuleOutcome]:
        return [outcome for outcome in self._with_status("FAIL") if outcome.rule.scope == "table"]

    @cached_property
    def _reasons(self) -> pd.Series:
        """The names of the rules that each bad row breaks, joined."""
        names = np.array(list(self.broken), dtype=object)
        bits = 1 << np.arange(len(names))
        codes, inverse = np.unique(bits @ np.stack(list(self.broken.values()))[:, self.bad], return_inverse=True)
        texts = pd.array(["; ".join(names[(code & bits) > 0]) for code in codes], dtype="string[pyarrow]")
        return pd.Series(texts.take(inverse), name="reason")


def quiet_days_share(timestamps: pd.Series, share_of_median: float) -> float:
    """Share of days, from the first to the last, with less than a share of their weekday's median volume.

    Days are compared with the same weekday, so that a shop may be closed on Sundays.
    """
    if timestamps.empty:
        return 0.0
    day = timestamps.dt.floor("D")
    days = pd.date_range(day.min(), day.max(), freq="D")
    volume = day.value_counts().reindex(days, fill_value=0).to_numpy()
    weekday = np.arange(len(days)) % _WEEK
    median = pd.Series(volume).groupby(weekday).transform("median").to_numpy()
    return float((volume < share_of_median * median).mean())


def _describe(outcome: RuleOutcome, size: int) -> dict[str, Any]:
    rule = outcome.rule
    return {
        "rule": rule.name,
        "kind": rule.scope,
        "status": outcome.status,
        "wanted": rule.wanted,
        "found": outcome.found,
        "unexpected": len(outcome.rows),
        "share": len(outcome.rows) / size if rule.scope == "row" else None,
        "examples": list(outcome.examples),
        "error": outcome.error,
    }


def _to_json(value: Any) -> float | int | str | None:
    """Convert a measure to JSON; a missing time becomes null."""
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    return None if value is pd.NaT else value
