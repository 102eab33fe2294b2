"""Settings of tasks, tiers, candidates, rankers, list policy, churn, campaigns, evaluation and tracking."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from tierrec_core.base.params import Params, RenamedFrom, SearchRange, Share

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=32)]
MIN_TEST_USERS = 200  # fewer users with a target event say little about a task


class TaskSettings(Params):
    """A prediction task: target events of the next horizon_days, with (repeats) or without items seen before.

    windows: number of windows before the test that train the ranker. The newest, which ends where the test begins, is
        the validation window; the others begin step_days apart and may overlap
    simulated_cold_share: share of users hidden from the models of these windows; the ranker is trained on a few of
        their events, to learn ranking for cold-start users
    """

    horizon_days: PositiveFloat = 14.0
    repeats: bool = True
    windows: PositiveInt = 4
    step_days: PositiveFloat = 14.0
    simulated_cold_share: Annotated[float, Field(ge=0, lt=1), RenamedFrom("newcomers")] = 0.0


class TierSettings(Params):
    """Activity tiers and interest layers.

    names: of the tiers, by ascending activity
    window_days: period of the features that decide the tier
    quantiles: of the money score of active users, one between each two tiers; for method quantile
    hysteresis: distance beyond a boundary at which a user changes tier, in standard deviations
    bootstraps: resamples for the stability report
    """

    names: Annotated[tuple[Name, ...], Field(min_length=2)] = ("light", "medium", "heavy")
    method: Literal["quantile", "kmeans", "gaussian_mixture", "agglomerative"] = "quantile"
    window_days: PositiveFloat = 90.0
    quantiles: tuple[Share, ...] = (0.4, 0.8)
    hysteresis: Annotated[float, Field(ge=0)] = 0.15
    num_layers: PositiveInt = 8
    bootstraps: PositiveInt = 15

    @field_validator("names")
    @classmethod
    def _unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a name is repeated; wanted distinct names")
        if "all" in names:
            raise ValueError("a tier is named 'all', which means all users in reports; choose another name")
        return names

    @model_validator(mode="after")
    def _one_quantile_between_tiers(self) -> Self:
        if self.method == "quantile" and len(self.quantiles) != len(self.names) - 1:
            raise ValueError(
                f"quantiles has {len(self.quantiles)} values for {len(self.names)} names; wanted one between each two "
                f"tiers, {len(self.names) - 1}"
            )
        if sorted(self.quantiles) != list(self.quantiles):
            raise ValueError("quantiles are not sorted; wanted ascending values")
        return self


class RetrieveSettings(Params):
    """Numbers of candidates per user: items seen before, and the top of each retriever's list.

    max_repeat_candidates: of the items seen before, by counts that decay with repeat_half_life in days
    per_model_default, per_model: top items of each retriever
    """

    max_repeat_candidates: Annotated[PositiveInt, RenamedFrom("own_items")] = 200
    repeat_half_life: Annotated[PositiveFloat, RenamedFrom("own_half_life")] = 90.0
    per_model_default: PositiveInt = 40
    per_model: dict[str, PositiveInt] = Field(default={})


class BoostingOptions(Params):
    """Options that all gradient boosted models share."""

    learning_rate: PositiveFloat
    num_leaves: Annotated[int, Field(ge=2)]
    min_data_in_leaf: PositiveInt
    feature_share: Annotated[float, Field(gt=0, le=1)]
    l2: Annotated[float, Field(ge=0)]
    max_bin: Annotated[int, Field(ge=2, le=255)] = 63


class BlendSettings(BoostingOptions):
    """The LightGBM ranker of one task, averaged over num_seeds fits.

    attributes: item columns turned into affinity features; those that the catalogue lacks are skipped
    truncation: depth of the list that the objective optimizes (lambdarank_truncation_level)
    negative_share: share of each user's negative candidates kept for training
    feature_share, row_share: share of features and of rows sampled per tree
    """

    objective: Literal["binary", "lambdarank"] = "lambdarank"
    attributes: tuple[str, ...] = ("category", "brand")
    num_trees: Annotated[PositiveInt, SearchRange(100, 800, log=True)] = 300
    num_seeds: PositiveInt = 1
    learning_rate: Annotated[PositiveFloat, SearchRange(0.01, 0.15, log=True)] = 0.04
    num_leaves: Annotated[int, Field(ge=2), SearchRange(7, 63, log=True)] = 15
    min_data_in_leaf: Annotated[PositiveInt, SearchRange(20, 400, log=True)] = 50
    feature_share: Annotated[float, Field(gt=0, le=1), SearchRange(0.1, 0.8)] = 0.3
    negative_share: Annotated[float, Field(gt=0, le=1)] = 0.15
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    l2: Annotated[float, Field(ge=0), SearchRange(0.0, 20.0)] = 1.0
    truncation: Annotated[PositiveInt, SearchRange(10, 60)] = 20
    num_threads: PositiveInt = 2


class TierPolicySettings(Params):
    """Policy of a tier's lists; the defaults change nothing.

    novelty: > 0 boosts unpopular items, < 0 popular ones, in standard deviations of a user's scores between the most
        and the least popular item
    repeat_slots: largest share of slots for items seen before
    exploration: share of slots sampled from the user's less popular candidates
    quality_floor: percentile of quality that an unseen item needs; quality is the mean rating or, in a log without
        ratings, the share of buyers who bought it again
    exposure_cap: largest share of the tier's lists of one batch that may show an item in the top ten
    """

    novelty: Annotated[float, Field(ge=-1, le=1)] = 0.0
    repeat_slots: Share = 1.0
    exploration: Share = 0.0
    quality_floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    exposure_cap: Annotated[float, Field(gt=0, le=1)] = 1.0


class RerankSettings(Params):
    """Diversity re-ranking of the first `depth` candidates.

    kind: mmr diversifies categories and layers; calibrated follows the user's mixture of layers
    weight: 0 is relevance alone, 1 diversity alone
    """

    kind: Literal["mmr", "calibrated"]
    weight: Share
    depth: PositiveInt = 100


class PolicySettings(Params):
    """Rules applied to a ranked list before it is shown; blocked_items overrides all others.

    tiers: by the name of the tier
    seed: of the sampling for exploration
    """

    tiers: dict[str, TierPolicySettings] = Field(default={})
    rerank: RerankSettings | None = None
    max_per_category: PositiveInt | None = None
    blocked_items: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0


class BoostingSettings(BoostingOptions):
    """LightGBM binary classifier."""

    num_trees: PositiveInt = 150
    learning_rate: PositiveFloat = 0.05
    num_leaves: Annotated[int, Field(ge=2)] = 7
    min_data_in_leaf: PositiveInt = 100
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    l2: Annotated[float, Field(ge=0)] = 5.0


class ChurnSettings(Params):
    """Prediction of churn, no target event in the next horizon_days, trained on snapshots step_days apart.

    min_history_days: length of the log before the oldest snapshot
    l2: of the logistic regression, which is compared with the trees
    """

    horizon_days: PositiveFloat = 28.0
    step_days: PositiveFloat = 14.0
    min_history_days: PositiveFloat = 56.0
    l2: PositiveFloat = 1.0
    trees: BoostingSettings = BoostingSettings()
    bootstraps: PositiveInt = 1000


class CampaignSettings(Params):
    """Prediction that a user redeems a coupon campaign in the next horizon_days, trained on snapshots step_days apart.

    category: the item category of campaigns; type_attribute: the item column with the campaign's type
    l2: of the logistic regression
    cutoff: length of the list of campaigns that is evaluated
    """

    category: str = "campaign"
    type_attribute: str = "product_type"
    horizon_days: PositiveFloat = 28.0
    step_days: PositiveFloat = 14.0
    l2: PositiveFloat = 10.0
    cutoff: PositiveInt = 3
    bootstraps: PositiveInt = 1000


class EvaluateSettings(Params):
    """Evaluation of lists. baseline names, by task, the model that others are compared with.

    min_group_users: tiers of fewer users have no figures of their own, and no figures from which theirs follow
    """

    cutoffs: tuple[PositiveInt, ...] = (10, 20)
    list_length: PositiveInt = 20
    bootstraps: PositiveInt = 1000
    baseline: dict[str, str] = Field(default={})
    min_group_users: PositiveInt = 10


class PackageSettings(Params):
    """The Bento and its smoke test. task is the default task of requests; the first of `tasks` where unset."""

    name: str = "tierrec"
    task: str | None = None
    smoke_users: PositiveInt = 50


class WandbSettings(Params):
    """Weights & Biases. offline writes a run folder for a later `wandb sync`; online uploads during training.

    online sends training curves, hyperparameters and model names to the server at WANDB_BASE_URL.
    """

    project: Annotated[str, Field(min_length=1)] = "tierrec"
    entity: str | None = None
    mode: Literal["offline", "online"] = "offline"


class TrackingSettings(Params):
    """Experiment trackers. They do not change a model, so a change here does not retrain one."""

    wandb: WandbSettings | None = None
