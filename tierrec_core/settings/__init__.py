"""params.yaml as frozen, closed models: each option has a type, a range and a meaning."""

from tierrec_core.base.params import Params, RenamedFrom, SearchRange, Share, parse, search_space
from tierrec_core.settings.data.processing import (
    GivenSplit,
    LeaveLastOut,
    PrepareSettings,
    SplitSettings,
    TimeSplit,
    ValidateSettings,
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
    BlendSettings,
    BoostingSettings,
    CampaignSettings,
    ChurnSettings,
    EvaluateSettings,
    PackageSettings,
    PolicySettings,
    RetrieveSettings,
    TaskSettings,
    TierPolicySettings,
    TierSettings,
)
from tierrec_core.settings.learning.tracking import TrackingSettings, WandbSettings
from tierrec_core.settings.loop import GateSettings, MonitorSettings, RolloutSettings
from tierrec_core.settings.project import Settings, read_settings
from tierrec_core.settings.serving import ServingSettings

__all__ = [
    "AnySource",
    "BlendSettings",
    "BoostingSettings",
    "CampaignSettings",
    "ChurnSettings",
    "ColumnMap",
    "CompleteJourneySource",
    "EvaluateSettings",
    "FilesSource",
    "GateSettings",
    "GivenSplit",
    "ItemColumnMap",
    "LeaveLastOut",
    "MonitorSettings",
    "PackageSettings",
    "Params",
    "PolicySettings",
    "PrepareSettings",
    "RenamedFrom",
    "RetrieveSettings",
    "RolloutSettings",
    "SearchRange",
    "ServingSettings",
    "Settings",
    "Share",
    "Source",
    "SplitSettings",
    "SyntheticSource",
    "TaskSettings",
    "TierPolicySettings",
    "TierSettings",
    "TimeSplit",
    "TrackingSettings",
    "ValidateSettings",
    "WandbSettings",
    "parse",
    "read_settings",
    "search_space",
]
