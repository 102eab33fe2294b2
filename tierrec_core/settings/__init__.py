"""params.yaml as frozen, closed models: each option has a type, a range and a meaning."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tierrec_core.base.errors import SettingsError
from tierrec_core.base.params import Params as Params
from tierrec_core.base.params import RenamedFrom as RenamedFrom
from tierrec_core.base.params import SearchRange as SearchRange
from tierrec_core.base.params import Share as Share
from tierrec_core.base.params import parse as parse
from tierrec_core.base.params import search_space as search_space
from tierrec_core.settings.data import ColumnMap as ColumnMap
from tierrec_core.settings.data import CompleteJourneySource as CompleteJourneySource
from tierrec_core.settings.data import FilesSource as FilesSource
from tierrec_core.settings.data import GivenSplit as GivenSplit
from tierrec_core.settings.data import ItemColumnMap as ItemColumnMap
from tierrec_core.settings.data import LeaveLastOut as LeaveLastOut
from tierrec_core.settings.data import PrepareSettings as PrepareSettings
from tierrec_core.settings.data import Source as Source
from tierrec_core.settings.data import SplitSettings as SplitSettings
from tierrec_core.settings.data import SyntheticSource as SyntheticSource
from tierrec_core.settings.data import TableFormat as TableFormat
from tierrec_core.settings.data import TimeSplit as TimeSplit
from tierrec_core.settings.data import ValidateSettings as ValidateSettings
from tierrec_core.settings.deploy import DeploySettings as DeploySettings
from tierrec_core.settings.deploy import KubernetesDeploySettings as KubernetesDeploySettings
from tierrec_core.settings.deploy import LocalDeploySettings as LocalDeploySettings
from tierrec_core.settings.deploy import ObjectStorageDeploySettings as ObjectStorageDeploySettings
from tierrec_core.settings.learning import MIN_TEST_USERS as MIN_TEST_USERS
from tierrec_core.settings.learning import BlendSettings as BlendSettings
from tierrec_core.settings.learning import BoostingSettings as BoostingSettings
from tierrec_core.settings.learning import CampaignSettings as CampaignSettings
from tierrec_core.settings.learning import ChurnSettings as ChurnSettings
from tierrec_core.settings.learning import EvaluateSettings as EvaluateSettings
from tierrec_core.settings.learning import Name
from tierrec_core.settings.learning import PackageSettings as PackageSettings
from tierrec_core.settings.learning import PolicySettings as PolicySettings
from tierrec_core.settings.learning import RerankSettings as RerankSettings
from tierrec_core.settings.learning import RetrieveSettings as RetrieveSettings
from tierrec_core.settings.learning import TaskSettings as TaskSettings
from tierrec_core.settings.learning import TierPolicySettings as TierPolicySettings
from tierrec_core.settings.learning import TierSettings as TierSettings
from tierrec_core.settings.learning import TrackingSettings as TrackingSettings
from tierrec_core.settings.learning import WandbSettings as WandbSettings
from tierrec_core.settings.loop import GateSettings as GateSettings
from tierrec_core.settings.loop import MonitorSettings as MonitorSettings
from tierrec_core.settings.loop import RetrainSettings as RetrainSettings
from tierrec_core.settings.loop import RolloutSettings as RolloutSettings
from tierrec_core.settings.serving import ServingSettings as ServingSettings


class Settings(Params):
    """All of params.yaml. The blocks of `models` are validated by the registry of models."""

    seed: int = 7
    source: Source = CompleteJourneySource()
    validate_: ValidateSettings = Field(default=ValidateSettings(), alias="validate")
    prepare: PrepareSettings = PrepareSettings()
    split: SplitSettings = SplitSettings()
    tasks: dict[Name, TaskSettings]
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
    retrain: RetrainSettings = RetrainSettings()
    gate: GateSettings = GateSettings()
    rollout: RolloutSettings = RolloutSettings()
    deploy: DeploySettings = LocalDeploySettings()

    @model_validator(mode="after")
    def _known_names(self) -> Self:
        """Check that other sections name declared tasks and tiers only."""
        if "production" in self.tasks:
            raise ValueError("tasks: 'production' is the folder of the models that are served; choose another name")
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
        """Default task of requests."""
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
    """Read params.yaml. Raises SettingsError naming the key, its value and the allowed values."""
    return parse(Settings, read_sections(path, YAML(typ="safe"), "run `tierrec init FILE` to create it"), str(path))


def read_sections(path: Path, yaml: YAML, hint: str) -> Any:
    """The mapping in a YAML file, as the reader builds it. Raises SettingsError; hint: for a file that is missing."""
    try:
        raw = yaml.load(path.read_text())
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); {hint}") from error
    except YAMLError as error:
        raise SettingsError(f"{path}: is not YAML: {' '.join(str(error).split())}; correct the line") from error
    if not isinstance(raw, Mapping):
        raise SettingsError(f"{path}: holds {type(raw).__name__}, wanted a mapping of sections such as `seed: 7`")
    return raw
