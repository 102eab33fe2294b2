"""retrieve: for each window, every retriever's candidates with every model's score as of its snapshot."""

from tierrec_core import artifacts
from tierrec_core.blend import retrieve
from tierrec_core.layout import Layout
from tierrec_core.settings import Settings
from tierrec_core.stages.fits import read_models
from tierrec_core.stages.inputs import read_split


def run(layout: Layout, settings: Settings) -> None:
    """Write the candidates of all windows; of earlier ones only for users who have something to teach."""
    log = read_split(layout)
    for snapshot in log.snapshots:
        models = read_models(layout, settings, log, snapshot.name)
        history = log.history(snapshot.name)
        for window in (one for one in log.windows if one.snapshot == snapshot.name):
            candidates = retrieve(models, history, settings.retrieve, repeats=window.repeats)
            user, item = log.truth(window)
            if window.role != "test":
                candidates = candidates.of_users(user)
            artifacts.save(candidates, layout.candidates(window.name))
            found = candidates.contains(user, item, history.num_items).mean()
            print(f"retrieve {window.name}: {len(candidates)} candidates hold {found:.1%} of the truth")
