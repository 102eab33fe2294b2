"""params.yaml as a whole."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.params import Params, parse
from tierrec_core.settings.data.processing import PrepareSettings, SplitSettings, ValidateSettings
from tierrec_core.settings.data.sources import CompleteJourneySource, Source
from tierrec_core.settings.learning import (
    BlendSettings,
    CampaignSettings,
    ChurnSettings,
    EvaluateSettings,
    PackageSettings,
    PolicySettings,
    RetrieveSettings,
    TaskSettings,
    TierSettings,
)
from tierrec_core.settings.learning.tracking import TrackingSettings
from tierrec_core.settings.loop import GateSettings, MonitorSettings, RolloutSettings
from tierrec_core.settings.serving import ServingSettings


class Settings(Params):
    """All of params.yaml. The blocks of `models` are checked by the registry, which knows the kinds."""

    seed: int = 7
    source: Source = CompleteJourneySource()
    validate_: ValidateSettings = Field(default=ValidateSettings(), alias="validate")
    prepare: PrepareSettings = PrepareSettings()
    split: SplitSettings = SplitSettings()
    tasks: dict[Literal["next", "discovery"], TaskSettings]
    tiers: TierSettings = TierSettings()
    models: dict[str, dict[str, Any]]
    tracking: TrackingSettings = TrackingSettings()
    retrieve: RetrieveSettings = RetrieveSettings()
    blend: dict[Literal["next", "discovery"], BlendSettings] = Field(default={})
    policy: PolicySettings = PolicySettings()
    churn: ChurnSettings = ChurnSettings()
    campaigns: CampaignSettings = CampaignSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    package: PackageSettings = PackageSettings()
    serving: ServingSettings = ServingSettings()
    monitor: MonitorSettings = MonitorSettings()
    gate: GateSettings = GateSettings()
    rollout: RolloutSettings = RolloutSettings()

    def newcomers_of(self, tasks: Iterable[str]) -> float:
        """The share of users whom models that serve the windows of these tasks may not know."""
        shares = {str(name): task.newcomers for name, task in self.tasks.items()}
        return max((shares[task] for task in tasks), default=0.0)

    def blend_of(self, task: str) -> BlendSettings:
        """The blend's settings for a task; the defaults where params.yaml has none."""
        return {str(name): block for name, block in self.blend.items()}.get(task, BlendSettings())


def read_settings(path: Path) -> Settings:
    """Read params.yaml. Raises SettingsError naming the key, what it holds and what it may hold."""
    try:
        raw = YAML(typ="safe").load(path.read_text())
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}); run `tierrec init FILE` to make one"
        ) from error
    except YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{path}: holds {type(raw).__name__}, wanted a mapping of sections")
    return parse(Settings, raw, str(path))
