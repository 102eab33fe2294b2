"""Assembles the bundle from the artifacts of the stages."""

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import Bundle, KnownUsers, TaskConfig
from tierrec_core.models import registry
from tierrec_core.ranking import BlendRanker
from tierrec_core.ranking.policy import ListPolicy
from tierrec_core.settings import Settings
from tierrec_core.stages.inputs.fitted_models import read_models
from tierrec_core.stages.inputs.split_log import read_split


def assemble(layout: Layout, settings: Settings) -> Bundle:
    """Read the models, rankers and histories as of the final snapshot."""
    log = read_split(layout)
    history = log.history(log.final.name)
    items = artifacts.read_frame(layout.items, ITEMS)
    blends = {task: artifacts.load(BlendRanker, layout.blend(task)) for task in log.tasks}
    tiering = next(iter(blends.values())).context.tiering
    return Bundle(
        kinds={name: registry.kind_name(name, block) for name, block in settings.models.items()},
        models=read_models(layout, settings, log, log.final.name),
        blends=blends,
        task_configs={
            task: TaskConfig(repeats=log.final_window(task).repeats, retrieve=settings.retrieve) for task in log.tasks
        },
        known=KnownUsers(history, ListPolicy.fit(history, items, settings.policy, tiering.names), log.target),
        items=items,
    )
