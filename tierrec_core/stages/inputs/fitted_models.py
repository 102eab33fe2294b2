"""Fitted models as of a snapshot: which fits there are, and which one a snapshot may use."""

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender
from tierrec_core.settings import Params, Settings


def fitted_snapshots(config: Params, log: SplitLog) -> list[str]:
    """Snapshots at which a model is fitted: all, or the oldest and the final one where a fit is slow.

    A model whose Config says `refit: false` serves a snapshot in between with the oldest fit. That is no leak:
    its weights are older than the snapshot, and a user is their history, which is as of the snapshot.
    """
    names = [snapshot.name for snapshot in log.snapshots]
    return names if getattr(config, "refit", True) else list(dict.fromkeys([names[0], names[-1]]))


def read_model(layout: Layout, settings: Settings, log: SplitLog, name: str, snapshot: str) -> Recommender:
    """The model as it could have been known at the snapshot: its newest fit that is not younger."""
    kind, config = registry.configure(name, settings.models[name])
    names = [one.name for one in log.snapshots]
    known = [one for one in fitted_snapshots(config, log) if names.index(one) <= names.index(snapshot)]
    return artifacts.load(kind, layout.model(name, known[-1]))


def read_models(layout: Layout, settings: Settings, log: SplitLog, snapshot: str) -> dict[str, Recommender]:
    """Every model of params.yaml as of the snapshot, by name."""
    return {name: read_model(layout, settings, log, name, snapshot) for name in settings.models}
