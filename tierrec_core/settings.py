"""params.yaml as frozen, closed models: every knob has a type, a range and a meaning, and an unknown key is named."""

import difflib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tierrec_core.errors import SettingsError

Share = Annotated[float, Field(ge=0, le=1)]
P = TypeVar("P", bound="Params")


class Params(BaseModel):
    """A block of params.yaml: frozen, and closed to keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class AnySource(Params):
    """feedback: read also the events, items and users of the service's store that lie in data/feedback."""

    feedback: bool = False


class CompleteJourneySource(AnySource):
    """The Complete Journey grocery data that the `demo` extra installs."""

    kind: Literal["complete_journey"] = "complete_journey"


class ColumnMap(Params):
    """Names of our columns in the user's files; None = the file has no such column."""

    user: str = "user_id"
    item: str = "item_id"
    event: str | None = None
    timestamp: str = "timestamp"
    value: str | None = None
    quantity: str | None = None
    session: str | None = None
    channel: str | None = None
    domain: str | None = None
    split: str | None = None


class ItemColumnMap(Params):
    """Names of our columns in the user's catalogue; all further columns are kept as attributes."""

    item: str = "item_id"
    title: str | None = None
    category: str | None = None
    brand: str | None = None
    price: str | None = None


class FilesSource(AnySource):
    """One or more CSV or Parquet files with any column and event names.

    events maps the names in the files to ours; default_event is used where the files have no event column.
    timestamp_unit is for numbers: s, ms, us or ns since 1970. timezone is for texts without an offset.
    """

    kind: Literal["files"] = "files"
    paths: tuple[str, ...]
    separator: str = ","
    columns: ColumnMap = ColumnMap()
    events: dict[str, str] = {}
    default_event: str = "purchase"
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"] = "auto"
    timezone: str = "UTC"
    items_path: str | None = None
    item_columns: ItemColumnMap = ItemColumnMap()
    users_path: str | None = None
    user_column: str = "user_id"


class SyntheticSource(AnySource):
    """A made world whose tiers, interests and drift are known, for tests and demonstrations."""

    kind: Literal["synthetic"] = "synthetic"
    num_users: PositiveInt = 600
    num_items: PositiveInt = 300
    num_categories: PositiveInt = 10
    days: PositiveInt = 180
    start: datetime = datetime(2024, 1, 1)
    drift_day: PositiveInt | None = None
    drift_share: Share = 0.4


Source = Annotated[CompleteJourneySource | FilesSource | SyntheticSource, Field(discriminator="kind")]


class Validate(Params):
    """When the gate refuses. Shares are of rows."""

    max_bad_share: Share = 0.05
    max_duplicate_share: Share = 0.05
    max_age_days: PositiveInt | None = None
    min_day_share_of_median: Share = 0.1
    max_quiet_days_share: Share = 0.1
    max_categories: PositiveInt = 5000
    max_id_length: PositiveInt = 256
    earliest: datetime = datetime(2000, 1, 1)
    latest: datetime | None = None


class Prepare(Params):
    """How a clean log is made from a valid one."""

    engine: Literal["duckdb", "spark"] = "duckdb"
    session_gap_minutes: PositiveFloat = 30.0
    max_events_per_day: PositiveInt = 1000
    min_events_per_user: PositiveInt = 1


def _no_number(value: Any) -> Any:
    """Refuse what pydantic would take for seconds since 1970."""
    if isinstance(value, int | float):
        raise ValueError("a date looks like 2024-01-31")
    return value


class TimeSplit(Params):
    """Everything before the cut is known; cut is a date, or the share of events that lie before it."""

    kind: Literal["time"] = "time"
    cut: Annotated[datetime, BeforeValidator(_no_number)] | Annotated[float, Field(gt=0, lt=1)] = 0.8


class GivenSplit(Params):
    """The log says itself what is test: events whose `split` column reads `test`."""

    kind: Literal["given"] = "given"


class LeaveLastOut(Params):
    """Each user's last event is the test."""

    kind: Literal["leave_last_out"] = "leave_last_out"


class Split(Params):
    """What is known, what is judged, and which items take part (decided on the known part alone)."""

    by: Annotated[TimeSplit | GivenSplit | LeaveLastOut, Field(discriminator="kind")] = TimeSplit()
    min_users_per_item: PositiveInt = 10
    target: tuple[str, ...] = ("purchase",)


class Task(Params):
    """What is to be foretold: the target events of the next horizon_days, with or without items already met.

    windows earlier windows teach the blend. The newest, which ends where the test begins, is the validation window;
    the others begin step_days apart and may overlap.
    """

    horizon_days: PositiveFloat = 14.0
    repeats: bool = True
    windows: PositiveInt = 4
    step_days: PositiveFloat = 14.0


class Tiers(Params):
    """Activity tiers light < medium < heavy, and interest layers."""

    method: Literal["quantile", "kmeans", "gaussian_mixture", "agglomerative"] = "quantile"
    window_days: PositiveFloat = 90.0
    quantiles: tuple[Share, Share] = (0.4, 0.8)
    hysteresis: Annotated[float, Field(ge=0)] = 0.15
    num_layers: PositiveInt = 8
    bootstraps: PositiveInt = 15


class Retrieve(Params):
    """How many candidates a user gets: items met before, and the first of each retriever's list.

    own_items are chosen by counts that halve every own_half_life days. per_model overrides per_model_default.
    """

    own_items: PositiveInt = 200
    own_half_life: PositiveFloat = 90.0
    per_model_default: PositiveInt = 40
    per_model: dict[str, PositiveInt] = {}


class Blend(Params):
    """The learned ranker of one task (LightGBM), a mean over num_seeds fits.

    attributes: columns of ITEMS whose groups become affinities; those that the catalogue lacks are left out
    truncation: how deep into a list the objective looks
    negative_share: how many of the candidates that a user did not take are learned from
    """

    objective: Literal["binary", "lambdarank"] = "lambdarank"
    attributes: tuple[str, ...] = ("category", "brand")
    num_trees: PositiveInt = 300
    num_seeds: PositiveInt = 1
    learning_rate: PositiveFloat = 0.04
    num_leaves: Annotated[int, Field(ge=2)] = 15
    min_data_in_leaf: PositiveInt = 50
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    negative_share: Annotated[float, Field(gt=0, le=1)] = 0.15
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    l2: Annotated[float, Field(ge=0)] = 1.0
    truncation: PositiveInt = 20
    max_bin: Annotated[int, Field(ge=2, le=255)] = 63
    num_threads: PositiveInt = 2


class TierPolicy(Params):
    """What a tier's lists favour: novelty > 0 lifts items that few know, < 0 lifts the popular; 0 changes nothing.

    The unit is one standard deviation of a user's scores for a whole step from the most to the least popular item.
    """

    novelty: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Policy(Params):
    """What is done to a ranked list before a person sees it; the block list has the last word."""

    tiers: dict[Literal["light", "medium", "heavy"], TierPolicy] = {}
    max_per_category: PositiveInt | None = None
    blocked_items: tuple[str, ...] = ()


class Boosting(Params):
    """Boosted trees for a yes or a no (LightGBM)."""

    num_trees: PositiveInt = 150
    learning_rate: PositiveFloat = 0.05
    num_leaves: Annotated[int, Field(ge=2)] = 7
    min_data_in_leaf: PositiveInt = 100
    feature_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    row_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    l2: Annotated[float, Field(ge=0)] = 5.0
    max_bin: Annotated[int, Field(ge=2, le=255)] = 63


class Churn(Params):
    """The chance of no target event in the next horizon_days, learned from moments step_days apart.

    min_history_days: how much of the log lies before the oldest of them
    l2: pulls the weights of the logistic regression to zero, against which the trees are tried
    """

    horizon_days: PositiveFloat = 28.0
    step_days: PositiveFloat = 14.0
    min_history_days: PositiveFloat = 56.0
    l2: PositiveFloat = 1.0
    trees: Boosting = Boosting()
    bootstraps: PositiveInt = 1000


class Campaigns(Params):
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


class Evaluate(Params):
    """How lists are judged."""

    cutoffs: tuple[PositiveInt, ...] = (10, 20)
    list_length: PositiveInt = 20
    bootstraps: PositiveInt = 1000
    baseline: dict[str, str] = {}


class Package(Params):
    """The Bento and its smoke test."""

    name: str = "tierrec"
    task: str = "next"
    smoke_users: PositiveInt = 50


class Serving(Params):
    """How the service answers from what the pipeline made.

    shelf_depth: how many items of each known user's list are kept for rules and paging to choose from
    behaviour: what an event is worth as a sign of interest, a purchase being 1; learned from the log where unset
    fold_strength: how far fresh events move an item; 1 is the way from a list's end to its top
    fold_of_target: how much of its weight a target event keeps then: who has bought wants it less, not more
    fold_half_life_hours: after that time a fresh event counts half
    """

    shelf_depth: Annotated[int, Field(ge=20, le=1000)] = 200
    behaviour: dict[Literal["view", "click", "favourite", "cart", "rating", "purchase", "redeem"], Share] = {}
    fold_strength: PositiveFloat = 2.0
    fold_of_target: Share = 0.05
    fold_half_life_hours: PositiveFloat = 24.0


class Settings(Params):
    """All of params.yaml. The blocks of `models` are checked by the registry, which knows the kinds."""

    seed: int = 7
    source: Source = CompleteJourneySource()
    validate_: Validate = Field(default=Validate(), alias="validate")
    prepare: Prepare = Prepare()
    split: Split = Split()
    tasks: dict[Literal["next", "discovery"], Task]
    tiers: Tiers = Tiers()
    models: dict[str, dict[str, Any]]
    retrieve: Retrieve = Retrieve()
    blend: dict[Literal["next", "discovery"], Blend] = {}
    policy: Policy = Policy()
    churn: Churn = Churn()
    campaigns: Campaigns = Campaigns()
    evaluate: Evaluate = Evaluate()
    package: Package = Package()
    serving: Serving = Serving()

    def blend_of(self, task: str) -> Blend:
        """The blend's settings for a task; the defaults where params.yaml has none."""
        return {str(name): block for name, block in self.blend.items()}.get(task, Blend())


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


def parse(kind: type[P], raw: Mapping[str, Any], where: str) -> P:
    """Validate one block; `where` begins the message of the SettingsError that a bad one raises."""
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(kind, problem) for problem in error.errors()[:3]]
        raise SettingsError("\n".join(f"{where}: {line}" for line in lines)) from error


def _explain(kind: type[BaseModel], problem: Any) -> str:
    """One line for one problem that pydantic found; an unknown key gets the nearest of its block, or else of all."""
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *outer, name = problem["loc"]
        near = _nearest(name, _block(kind, outer)) or _nearest(name, _all_models(kind))
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place}: unknown key{hint}"
    return f"{place}: {problem['msg'][0].lower()}{problem['msg'][1:]}; found {problem['input']!r:.80}"


def _nearest(name: object, kinds: Sequence[type[BaseModel]]) -> list[str]:
    """The key of these models that looks most like `name`, if any does."""
    keys = {field.alias or key for kind in kinds for key, field in kind.model_fields.items()}
    return difflib.get_close_matches(str(name), sorted(keys), n=1)


def _block(kind: type[BaseModel], path: Sequence[object]) -> list[type[BaseModel]]:
    """The models that may stand at a place; names of a mapping's entries and of a union's kinds lead no deeper."""
    kinds = [kind]
    for part in path:
        inner = [
            model
            for one in kinds
            for name, field in one.model_fields.items()
            if part == (field.alias or name)
            for model in _models(field.annotation)
        ]
        kinds = inner or kinds
    return kinds


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names, however deep in unions and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _all_models(kind: type[BaseModel]) -> list[type[BaseModel]]:
    """A settings model and all models inside it."""
    inner = [model for field in kind.model_fields.values() for model in _models(field.annotation)]
    return [kind, *(one for model in inner for one in _all_models(model))]
