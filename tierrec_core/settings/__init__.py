"""params.yaml as frozen, closed models: every knob has a type, a range and a meaning, and an unknown key is named."""

from tierrec_core.settings.base.params import Params, Share, parse
from tierrec_core.settings.base.search_range import Span, space_of
from tierrec_core.settings.data.processing import (
    GivenSplit,
    LeaveLastOut,
    Prepare,
    Split,
    TimeSplit,
    Validate,
)
from tierrec_core.settings.data.sources import (
    AnySource,
    ColumnMap,
    CompleteJourneySource,
    FilesSource,
    ItemColumnMap,
    Source,
    SyntheticSource,
)
from tierrec_core.settings.learning import (
    Blend,
    Boosting,
    Campaigns,
    Churn,
    Evaluate,
    Package,
    Policy,
    Retrieve,
    Task,
    TierPolicy,
    Tiers,
)
from tierrec_core.settings.learning.tracking import Tracking, Wandb
from tierrec_core.settings.loop import Gate, Monitor, Rollout
from tierrec_core.settings.project import Settings, read_settings
from tierrec_core.settings.serving import Serving

__all__ = [
    "AnySource",
    "Blend",
    "Boosting",
    "Campaigns",
    "Churn",
    "ColumnMap",
    "CompleteJourneySource",
    "Evaluate",
    "FilesSource",
    "Gate",
    "GivenSplit",
    "ItemColumnMap",
    "LeaveLastOut",
    "Monitor",
    "Package",
    "Params",
    "Policy",
    "Prepare",
    "Retrieve",
    "Rollout",
    "Serving",
    "Settings",
    "Share",
    "Source",
    "Span",
    "Split",
    "SyntheticSource",
    "Task",
    "TierPolicy",
    "Tiers",
    "TimeSplit",
    "Tracking",
    "Validate",
    "Wandb",
    "parse",
    "read_settings",
    "space_of",
]
