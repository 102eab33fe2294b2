"""params.yaml as a whole: all sections, and the names that they share."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
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
    TaskName,
    TaskSettings,
    TierSettings,
)
from tierrec_core.settings.learning.tracking import TrackingSettings
from tierrec_core.settings.loop import GateSettings, MonitorSettings, RolloutSettings
from tierrec_core.settings.serving import ServingSettings


class Settings(Params):
    """All of params.yaml. The blocks of `models` are validated by the registry of models."""

    seed: int = 7
    source: Source = CompleteJourneySource()
    validate_: ValidateSettings = Field(default=ValidateSettings(), alias="validate")
    prepare: PrepareSettings = PrepareSettings()
    split: SplitSettings = SplitSettings()
    tasks: dict[TaskName, TaskSettings]
    tiers: TierSettings = TierSettings()
    models: dict[str, dict[str, Any]]
    tracking: TrackingSettings = TrackingSettings()
    retrieve: RetrieveSettings = RetrieveSettings()
    blend: dict[str, BlendSettings] = Field(default={})
    policy: PolicySettings = PolicySettings()
    churn: ChurnSettings = ChurnSettings()
    campaigns: CampaignSettings = CampaignSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    package: PackageSettings = PackageSettings()
    serving: ServingSettings = ServingSettings()
    monitor: MonitorSettings = MonitorSettings()
    gate: GateSettings = GateSettings()
    rollout: RolloutSettings = RolloutSettings()

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        """Every task and tier that another section names is declared."""
        package = [self.package.task] if self.package.task else []
        for section, names in (
            ("blend", self.blend),
            ("evaluate.baseline", self.evaluate.baseline),
            ("package.task", package),
        ):
            _require_known(section, names, self.tasks, "tasks")
        _require_known("policy.tiers", self.policy.tiers, self.tiers.names, "tiers.names")
        return self

    @property
    def default_task(self) -> str:
        """The task of requests that name none."""
        return self.package.task or next(iter(self.tasks))

    def simulated_cold_share(self, tasks: Iterable[str]) -> float:
        """Largest share of simulated cold users among these tasks."""
        return max((self.tasks[task].simulated_cold_share for task in tasks), default=0.0)

    def blend_of(self, task: str) -> BlendSettings:
        """The ranker's settings of a task; the defaults where params.yaml has none."""
        return self.blend.get(task, BlendSettings())


def _require_known(section: str, names: Iterable[str], known: Iterable[str], declared_in: str) -> None:
    known = list(known)
    for name in names:
        if name not in known:
            raise ValueError(f"{section}: {name!r} is unknown; known in {declared_in} are {', '.join(known)}")


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
