"""Paths of a project folder and of every artefact in it."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class _RelativePath:
    """A path relative to a layout's root, with its content."""

    path: str
    content: str

    def __get__(self, layout: "Layout", _: type["Layout"]) -> Path:
        return layout.root / self.path


class _FitPath(_RelativePath):
    """A path in the folder of a stage that fits models for evaluation and for production."""

    def __get__(self, layout: "Layout", _: type["Layout"]) -> Path:
        stage, name = self.path.rsplit("/", 1)
        return layout.root / stage / layout.fits / name


@dataclass(frozen=True)
class Layout:
    """Paths of one project folder, which has params.yaml, dvc.yaml and data/.

    fits: which outputs the paths of the stages from split to blend, churn and campaigns lead to: the evaluated if empty
    """

    root: Path
    fits: str = ""

    params = _RelativePath("params.yaml", "all settings")
    dvc_yaml = _RelativePath("dvc.yaml", "the stages")
    dvc_lock = _RelativePath("dvc.lock", "hashes of each stage's inputs and outputs")
    prefect_home = _RelativePath(".prefect", "PREFECT_HOME: Prefect's local database and settings")
    data = _RelativePath("data", "outputs of the pipeline")
    feedback = _RelativePath("data/feedback", "the service's feedback, exported for ingest")

    # source
    deliveries = _RelativePath("data/deliveries", "files of the log that `tierrec add` stored")
    delivery_list = _RelativePath("data/deliveries/deliveries.json", "the deliveries that count, oldest first")
    source_manifest = _RelativePath("data/source.json", "the files that ingest reads, with their hashes")
    source_hashes = _RelativePath("data/source-hashes.json", "hash, size and times of each of these files; no output")

    forgotten_list = _RelativePath("data/forgotten/users.json", "keyed hashes of forgotten users")
    forgotten_key = _RelativePath("data/forgotten/key", "the key of these hashes, for its owner's eyes only")

    # ingest
    raw_events = _RelativePath("data/raw/events.parquet", "EVENTS as ingested")
    raw_items = _RelativePath("data/raw/items.parquet", "ITEMS as ingested")
    raw_users = _RelativePath("data/raw/users.parquet", "USERS as ingested, for audits")
    raw_exposures = _RelativePath("data/raw/exposures.parquet", "EXPOSURES as ingested")

    # validate
    validation = _RelativePath("data/validation/report.json", "report of the data gate")
    valid_events = _RelativePath("data/validation/events.parquet", "EVENTS without the quarantined rows")
    data_docs = _RelativePath("data/validation/docs", "Great Expectations Data Docs, with an index.html")
    quarantine = _RelativePath("data/quarantine/events.parquet", "invalid rows, each with its reason")

    # prepare
    prepared_events = _RelativePath("data/prepared/events.parquet", "clean EVENTS by time, with sessions")
    prepared_guests = _RelativePath("data/prepared/guests.parquet", "clean EVENTS of guests, who are no users")
    preparation = _RelativePath("data/prepared/report.json", "number of rows dropped, by reason")

    # split
    split = _FitPath("data/split/log", "artefact: splits.SplitLog")
    items = _FitPath("data/split/items.parquet", "ITEMS of the catalogue; row i describes column i")

    # tier, churn, campaigns
    tiers_report = _RelativePath("data/tiers/report.json", "sizes, stability and transitions of the tiers")
    churn = _FitPath("data/churn/model", "artefact: churn.ChurnModel")
    churn_report = _RelativePath("data/churn/report.json", "test metrics of the churn model and its baselines")
    campaigns = _FitPath("data/campaigns/model", "artefact: campaigns.CampaignModel")
    campaigns_report = _RelativePath("data/campaigns/report.json", "test metrics of the campaign model and baselines")

    # blend, evaluate
    blend_report = _RelativePath("data/blend/report.json", "validation metrics and feature importance of the ranker")
    metrics = _RelativePath("data/evaluation/metrics.json", "leaderboards, tier sizes and audits")
    plots = _RelativePath("data/evaluation/plots", "CSV files for `dvc plots`")

    # report and package
    report = _RelativePath("data/report/index.html", "self-contained report of a run")
    bundle = _RelativePath("data/package/bundle", "what the service loads: models, rankers, items")
    bento = _RelativePath("data/package/bento.json", "the Bento's tag and its smoke test")
    bento_home = _RelativePath(".bentoml", "BENTOML_HOME, excluded from Bentos")
    serving = _RelativePath("data/serving", "a shop's pointer, keys, rules, review, experiments and feedback store")

    # monitoring and state outside of DVC
    reference = _RelativePath("data/reference", "artefact: reference window for drift detection")
    policies = _RelativePath("data/loop/policies.json", "retrain policies, as `tierrec simulate` compared them")
    loop = _RelativePath("data/loop", "the retraining loop's decisions, releases, gate reports and pages")
    training = _RelativePath("data/training", "training curves of deep models, MODEL/SNAPSHOT")
    tuning = _RelativePath("data/tuning", "trials and patches of hyperparameter searches")
    runs = _RelativePath("data/runs", "run summaries: durations, peak memory, leaderboard")

    @property
    def production(self) -> "Layout":
        """The same project, with the fits to the whole log, which are served."""
        return replace(self, fits="production")

    @property
    def evaluation_and_production(self) -> tuple["Layout", "Layout"]:
        """The project with the fits to the log before the test, and with those to the whole log."""
        return self, self.production

    def tiering(self, snapshot: str) -> Path:
        """Artefact: tiers.Tiering as of the snapshot."""
        return self.data / "tiers" / self.fits / snapshot

    def models(self, name: str) -> Path:
        """Folder of one model's fits, one per snapshot."""
        return self.data / "models" / name

    def model(self, name: str, snapshot: str) -> Path:
        """Artefact: one model fitted as of the snapshot."""
        return self.models(name) / self.fits / snapshot

    def candidates(self, window: str) -> Path:
        """Candidates of a window with their scores and features."""
        return self.data / "candidates" / self.fits / window

    def cold_start_candidates(self, window: str) -> Path:
        """Candidates of a window for simulated cold-start users, with histories of a few events."""
        return self.data / "candidates" / self.fits / f"{window}-newcomers"

    def blend(self, task: str) -> Path:
        """Artefact: the fitted ranker of a task."""
        return self.data / "blend" / self.fits / task

    def lists(self, task: str, model: str) -> Path:
        """A model's recommendation lists for a task: user_id, item_id, rank."""
        return self.data / "evaluation" / "lists" / task / f"{model}.parquet"

    def truth(self, task: str) -> Path:
        """The target interactions of a task's test window: user_id, item_id."""
        return self.data / "evaluation" / "truth" / f"{task}.parquet"
