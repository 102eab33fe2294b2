"""Stage train: fit one model as of each snapshot that needs a separate fit, and to the whole log for production."""

import logging
import sys
import time

from threadpoolctl import threadpool_limits

from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.models import registry
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.fitted_models import fitted_snapshots
from tierrec_core.stages.inputs.split_log import read_split
from tierrec_core.stages.inputs.training import read_training
from tierrec_core.tracking.training_curves import TrainingRun, recording


def run(layout: Layout, settings: Settings, name: str = "") -> None:
    """Write the fits of the model; print the seconds of each. Raises SettingsError for an unknown model."""
    if name not in settings.models:
        raise SettingsError(f"train: no model {name!r} in params.yaml; known are {', '.join(settings.models)}")
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s", force=True)
    kind, config = registry.configure(name, settings.models[name])
    logs = [(place, read_split(place)) for place in layout.evaluation_and_production]
    fits = [(place, log, snapshot) for place, log in logs for snapshot in fitted_snapshots(config, log)]
    for number, (place, log, snapshot) in enumerate(fits, start=1):
        started = time.perf_counter()
        training = read_training(place, settings, log, snapshot, hide_cold_users=True)
        curves = TrainingRun(name, snapshot, config, layout.training / name / snapshot)
        # one thread: parallel stages share the cores, and sums keep their order
        with recording(curves, settings.tracking), threadpool_limits(1):
            model = kind.fit(training, config)
        artifacts.save(model, place.model(name, snapshot))
        seconds = time.perf_counter() - started
        print(f"train {name} {number}/{len(fits)} as of {snapshot}: {seconds:.1f} s", flush=True)
