"""What is learned and how it is judged: tasks, tiers, candidates, blends, policy, churn and campaigns."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from tierrec_core.base.params import Params, Share
from tierrec_core.base.search_range import SearchRange


class TaskSettings(Params):
    """What is to be foretold: the target events of the next horizon_days, with or without items already met.

    windows earlier windows teach the blend. The newest, which ends where the test begins, is the validation window;
    the others begin step_days apart and may overlap.

    newcomers: the share of users whom the models of this task's earlier windows do not know, and whom its blend sees by
    a few of their events, so that it learns what strangers are like
    """

    horizon_days: PositiveFloat = 14.0
    repeats: bool = True
    windows: PositiveInt = 4
    step_days: PositiveFloat = 14.0
    newcomers: Annotated[float, Field(ge=0, lt=1)] = 0.0


class TierSettings(Params):
    """Activity tiers light < medium < heavy, and interest layers."""

    method: Literal["quantile", "kmeans", "gaussian_mixture", "agglomerative"] = "quantile"
    window_days: PositiveFloat = 90.0
    quantiles: tuple[Share, Share] = (0.4, 0.8)
    hysteresis: Annotated[float, Field(ge=0)] = 0.15
    num_layers: PositiveInt = 8
    bootstraps: PositiveInt = 15


class RetrieveSettings(Params):
    """How many candidates a user gets: items met before, and the first of each retriever's list.

    own_items are chosen by counts that halve every own_half_life days. per_model overrides per_model_default.
    """

    own_items: PositiveInt = 200
    own_half_life: PositiveFloat = 90.0
    per_model_default: PositiveInt = 40
    per_model: dict[str, PositiveInt] = Field(default={})


class BlendSettings(Params):
    """The learned ranker of one task (LightGBM), a mean over num_seeds fits.

    attributes: columns of ITEMS whose groups become affinities; those that the catalogue lacks are left out
    truncation: how deep into a list the objective looks
    negative_share: how many of the candidates that a user did not take are learned from
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
    max_bin: Annotated[int, Field(ge=2, le=255)] = 63
    num_threads: PositiveInt = 2


class TierPolicySettings(Params):
    """What a tier's lists favour; the defaults change nothing.

    novelty: > 0 lifts items that few know, < 0 lifts the popular. The unit is one standard deviation of a user's
    scores for a whole step from the most to the least popular item
    repeat_slots: the share of places that items met before may fill
    exploration: the share of places that are drawn among the user's rarer candidates
    quality_floor: the percentile of quality that an item not met before needs: by mean rating or, in a log without
    ratings, by the share of buyers who came back to it
    exposure_cap: the share of the tier's lists made at once that may show one item among the first ten
    """

    novelty: Annotated[float, Field(ge=-1, le=1)] = 0.0
    repeat_slots: Share = 1.0
    exploration: Share = 0.0
    quality_floor: Annotated[float, Field(ge=0, lt=1)] = 0.0
    exposure_cap: Annotated[float, Field(gt=0, le=1)] = 1.0


class RerankSettings(Params):
    """How the first `depth` candidates are put in another order.

    kind: mmr for variety of categories and layers, calibrated to follow the user's own mixture of layers
    weight: 0 is relevance alone, 1 variety alone
    """

    kind: Literal["mmr", "calibrated"]
    weight: Share
    depth: PositiveInt = 100


class PolicySettings(Params):
    """What is done to a ranked list before a person sees it; the block list has the last word.

    seed: of the draws that fill places of exploration
    """

    tiers: dict[Literal["light", "medium", "heavy"], TierPolicySettings] = Field(default={})
    rerank: RerankSettings | None = None
    max_per_category: PositiveInt | None = None
    blocked_items: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0


class BoostingSettings(Params):
    """Boosted trees for a yes or a no (LightGBM)."""

    num_trees: PositiveInt = 150
    learning_rate: PositiveFloat = 0.05
    num_leaves: Annotated[int, Field(ge=2)] = 7
    min_data_in_leaf: PositiveInt = 100
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    l2: Annotated[float, Field(ge=0)] = 5.0
    max_bin: Annotated[int, Field(ge=2, le=255)] = 63


class ChurnSettings(Params):
    """The chance of no target event in the next horizon_days, learned from moments step_days apart.

    min_history_days: how much of the log lies before the oldest of them
    l2: pulls the weights of the logistic regression to zero, against which the trees are tried
    """

    horizon_days: PositiveFloat = 28.0
    step_days: PositiveFloat = 14.0
    min_history_days: PositiveFloat = 56.0
    l2: PositiveFloat = 1.0
    trees: BoostingSettings = BoostingSettings()
    bootstraps: PositiveInt = 1000


class CampaignSettings(Params):
    """The chance that a user redeems a coupon campaign in the next horizon_days, learned step_days apart.

    category: what ITEMS calls a campaign; type_attribute: the column that says of which type it is
    l2: pulls the weights of the logistic regression to zero; redemptions are few
    cutoff: how many campaigns of a list are judged
    """

    category: str = "campaign"
    type_attribute: str = "product_type"
    horizon_days: PositiveFloat = 28.0
    step_days: PositiveFloat = 14.0
    l2: PositiveFloat = 10.0
    cutoff: PositiveInt = 3
    bootstraps: PositiveInt = 1000


class EvaluateSettings(Params):
    """How lists are judged."""

    cutoffs: tuple[PositiveInt, ...] = (10, 20)
    list_length: PositiveInt = 20
    bootstraps: PositiveInt = 1000
    baseline: dict[str, str] = Field(default={})


class PackageSettings(Params):
    """The Bento and its smoke test."""

    name: str = "tierrec"
    task: str = "next"
    smoke_users: PositiveInt = 50
