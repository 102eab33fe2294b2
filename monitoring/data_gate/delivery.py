"""The data gate for a delivery of a few days, before it becomes a part of the log."""

from datetime import datetime

import pandas as pd

from monitoring.data_gate.inspection import Inspection
from monitoring.data_gate.validate import ValidationVerdict
from tierrec_core.settings import ValidateSettings


def check_delivery(events: pd.DataFrame, settings: ValidateSettings, now: datetime) -> int:
    """The number of EVENTS that the stage `validate` would put into quarantine.

    Raises GateError with rules, counts and limits when these, or the repeated rows, are too large a share of the
    delivery. Age and quiet days are judged on the whole log alone.
    """
    shares = settings.model_copy(update={"max_quiet_days_share": 1.0, "max_age_days": None})
    verdict = ValidationVerdict.of(Inspection.begin(), events, None, shares, now)
    if not verdict.passed:
        raise verdict.error(None)
    return int(verdict.bad.sum())
