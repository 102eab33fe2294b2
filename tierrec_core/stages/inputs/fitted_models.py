"""Fitted models as of a snapshot: which snapshots have a fit, and which fit a snapshot may use."""

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender
from tierrec_core.settings import Params, Settings


def fitted_snapshots(config: Params, log: SplitLog) -> list[str]:
    """Snapshots at which a model is fitted: all, or only the oldest and the final one with `refit: false`.

    Snapshots in between then use the oldest fit. No later event leaks, because the weights are older than the
    snapshot and the histories are as of the snapshot.
    """
    names = [snapshot.name for snapshot in log.snapshots]
    return names if getattr(config, "refit", True) else list(dict.fromkeys([names[0], names[-1]]))


def read_model(layout: Layout, settings: Settings, log: SplitLog, name: str, snapshot: str) -> Recommender:
    """The model's newest fit that is not later than the snapshot."""
    kind, config = registry.configure(name, settings.models[name])
    names = [entry.name for entry in log.snapshots]
    usable = [fit for fit in fitted_snapshots(config, log) if names.index(fit) <= names.index(snapshot)]
    return artifacts.load(kind, layout.model(name, usable[-1]))


def read_models(layout: Layout, settings: Settings, log: SplitLog, snapshot: str) -> dict[str, Recommender]:
    """Every model of params.yaml as of the snapshot, by name."""
    return {name: read_model(layout, settings, log, name, snapshot) for name in settings.models}
