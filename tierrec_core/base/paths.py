"""Where every artefact lies. Nobody else spells a path."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """The paths of one project folder, which holds params.yaml, dvc.yaml and data/."""

    root: Path

    @property
    def params(self) -> Path:
        """params.yaml: every knob."""
        return self.root / "params.yaml"

    @property
    def dvc_yaml(self) -> Path:
        """dvc.yaml: the stages."""
        return self.root / "dvc.yaml"

    @property
    def dvc_lock(self) -> Path:
        """dvc.lock: the hashes of what each stage last read and wrote."""
        return self.root / "dvc.lock"

    @property
    def prefect_home(self) -> Path:
        """PREFECT_HOME: Prefect's local database and settings."""
        return self.root / ".prefect"

    @property
    def feedback(self) -> Path:
        """Folder of the service's feedback, exported for ingest."""
        return self.data / "feedback"

    @property
    def data(self) -> Path:
        """All that the pipeline makes."""
        return self.root / "data"

    # ingest
    @property
    def raw_events(self) -> Path:
        """EVENTS as they came."""
        return self.data / "raw" / "events.parquet"

    @property
    def raw_items(self) -> Path:
        """ITEMS as they came."""
        return self.data / "raw" / "items.parquet"

    @property
    def raw_users(self) -> Path:
        """USERS as they came, for audits."""
        return self.data / "raw" / "users.parquet"

    @property
    def raw_exposures(self) -> Path:
        """EXPOSURES as they came."""
        return self.data / "raw" / "exposures.parquet"

    # validate
    @property
    def validation(self) -> Path:
        """report.json of the gate."""
        return self.data / "validation" / "report.json"

    @property
    def valid_events(self) -> Path:
        """EVENTS without the rows that went to quarantine."""
        return self.data / "validation" / "events.parquet"

    @property
    def data_docs(self) -> Path:
        """Folder of the Great Expectations Data Docs; index.html inside."""
        return self.data / "validation" / "docs"

    @property
    def quarantine(self) -> Path:
        """Bad rows, each with its reason."""
        return self.data / "quarantine" / "events.parquet"

    # prepare
    @property
    def prepared_events(self) -> Path:
        """Clean EVENTS in order of time, with sessions."""
        return self.data / "prepared" / "events.parquet"

    @property
    def preparation(self) -> Path:
        """report.json: what was dropped, and why."""
        return self.data / "prepared" / "report.json"

    # split
    @property
    def split(self) -> Path:
        """Artefact: splits.SplitLog."""
        return self.data / "split" / "log"

    @property
    def items(self) -> Path:
        """ITEMS of the catalogue, row i describes column i."""
        return self.data / "split" / "items.parquet"

    # tier
    def tiering(self, snapshot: str) -> Path:
        """Artefact: tiers.Tiering as of the snapshot."""
        return self.data / "tiers" / snapshot

    @property
    def tiers_report(self) -> Path:
        """Sizes, stability and transitions of the tiers."""
        return self.data / "tiers" / "report.json"

    # churn and campaigns
    @property
    def churn(self) -> Path:
        """Artefact: churn.Churn."""
        return self.data / "churn" / "model"

    @property
    def churn_report(self) -> Path:
        """How the churn risk did on the test's days, beside its baselines."""
        return self.data / "churn" / "report.json"

    @property
    def campaigns(self) -> Path:
        """Artefact: campaigns.Campaigns."""
        return self.data / "campaigns" / "model"

    @property
    def campaigns_report(self) -> Path:
        """How the campaign model did on the test's days, beside its baselines."""
        return self.data / "campaigns" / "report.json"

    # train
    def models(self, name: str) -> Path:
        """Folder of one model's fits, one a snapshot."""
        return self.data / "models" / name

    def model(self, name: str, snapshot: str) -> Path:
        """Artefact: one model as of the snapshot."""
        return self.models(name) / snapshot

    # retrieve and blend
    def candidates(self, window: str) -> Path:
        """Candidates of a window with their scores and features."""
        return self.data / "candidates" / window

    def newcomers(self, window: str) -> Path:
        """Candidates of a window for users of whom only a few events are shown."""
        return self.data / "candidates" / f"{window}-newcomers"

    def blend(self, task: str) -> Path:
        """Artefact: the fitted blend of a task."""
        return self.data / "blend" / task

    @property
    def blend_report(self) -> Path:
        """How the blend did on its validation window, and what it looks at."""
        return self.data / "blend" / "report.json"

    # evaluate
    @property
    def metrics(self) -> Path:
        """metrics.json, the one result that git keeps."""
        return self.data / "evaluation" / "metrics.json"

    @property
    def plots(self) -> Path:
        """Folder of CSV files that `dvc plots` draws."""
        return self.data / "evaluation" / "plots"

    def lists(self, task: str, model: str) -> Path:
        """A model's lists for a task: user_id, item_id, rank."""
        return self.data / "evaluation" / "lists" / task / f"{model}.parquet"

    def truth(self, task: str) -> Path:
        """What happened: user_id, item_id."""
        return self.data / "evaluation" / "truth" / f"{task}.parquet"

    # report and package
    @property
    def report(self) -> Path:
        """The page that shows a run to a person, self-contained."""
        return self.data / "report" / "index.html"

    @property
    def bundle(self) -> Path:
        """All that answers a request: models, blends, items."""
        return self.data / "package" / "bundle"

    @property
    def bento(self) -> Path:
        """bento.json: the Bento's tag and its smoke test."""
        return self.data / "package" / "bento.json"

    @property
    def bento_home(self) -> Path:
        """BENTOML_HOME, outside of what a Bento packs."""
        return self.root / ".bentoml"

    @property
    def serving(self) -> Path:
        """A shop's state: pointer, keys, rules, review, experiments, and the feedback store."""
        return self.data / "serving"

    # the loop
    @property
    def reference(self) -> Path:
        """Artefact: monitoring.drift.Reference, what the newest windows are held against."""
        return self.data / "reference"

    @property
    def loop(self) -> Path:
        """What the loop remembers: decisions, releases, gate reports, pages. Not an artefact of DVC."""
        return self.data / "loop"

    @property
    def training(self) -> Path:
        """Curves of deep models, MODEL/SNAPSHOT. Not an artefact of DVC, since no two are the same."""
        return self.data / "training"

    @property
    def tuning(self) -> Path:
        """Trials and patches of searches for options. Not an artefact of DVC: a person asks for them."""
        return self.data / "tuning"

    @property
    def runs(self) -> Path:
        """Summaries of runs: times, peaks, leaderboard. Not an artefact of DVC, since no two are the same."""
        return self.data / "runs"
