"""Hyperparameter search: search ranges, reproducible trials, and objectives recomputed independently."""

import signal

import numpy as np
import optuna
import pandas as pd
import pytest

from tests.support.projects import tiered_project
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.models import registry
from tierrec_core.settings import BlendSettings, SearchRange, Settings, SplitSettings, TaskSettings, search_space
from tierrec_core.stages import retrieve, train
from tierrec_core.stages.inputs.snapshot_windows import read_snapshot_windows, training_examples
from tierrec_core.tuning import objectives
from tierrec_core.tuning.study import search_options

SETTINGS = Settings(
    split=SplitSettings(by={"kind": "time", "cut": 0.8}, min_users_per_item=2),
    tasks={
        "next": TaskSettings(horizon_days=7, windows=4, step_days=7),
        "discovery": TaskSettings(horizon_days=7, windows=1, repeats=False),
    },
    models={"ease": {"kind": "ease", "l2": 5.0}, "popularity": {"kind": "popularity"}},
    blend={"next": BlendSettings(num_trees=20, min_data_in_leaf=5)},
)


@pytest.fixture(scope="module")
def layout(events: pd.DataFrame, items: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = tiered_project(tmp_path_factory.mktemp("project"), events, items, SETTINGS)
    for name in SETTINGS.models:
        train.run(layout, SETTINGS, name)
    retrieve.run(layout, SETTINGS)
    return layout


@pytest.fixture(scope="module")
def log(events: pd.DataFrame) -> SplitLog:
    return SplitLog.cut(events, SETTINGS.split, SETTINGS.tasks)


@pytest.mark.parametrize("kind", [*registry.KINDS, "blend"])
def test_defaults_lie_within_their_spans(kind: str) -> None:
    config = BlendSettings if kind == "blend" else registry.kind(kind).Config
    for name, span in search_space(config).items():
        value = config.model_fields[name].default
        assert value in span.choices if span.choices else span.low <= value <= span.high, name
        assert config.model_validate({name: span.choices[0] if span.choices else span.low})


def ndcg_by_hand(scores: np.ndarray, met: set[int], wanted: set[int]) -> float:
    order = [item for item in np.lexsort((np.arange(len(scores)), -scores)) if item not in met][:10]
    gains = [1 / np.log2(place + 2) for place, item in enumerate(order) if item in wanted]
    ideal = sum(1 / np.log2(place + 2) for place in range(min(10, len(wanted))))
    return sum(gains) / ideal


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_a_trial_is_judged_on_the_validation_window(layout: Layout, log: SplitLog, task: str) -> None:
    """Against EASE by its normal equations and NDCG user by user."""
    window = log.windows_of(task, "valid")[0]
    history = log.history(window.snapshot)
    counts = np.log1p(history.matrix().toarray())
    inverse = np.linalg.inv(counts.T @ counts + 40.0 * np.eye(counts.shape[1]))
    weights = -inverse / np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    scores, (user, item) = counts @ weights, log.truth(window)
    met = [set(row.nonzero()[0]) if task == "discovery" else set() for row in counts]
    wanted = {one: set(item[user == one]) for one in np.unique(user)}
    expected = [ndcg_by_hand(scores[one], met[one], taken) for one, taken in wanted.items()]
    found = objectives.tuning_target(layout, SETTINGS, "ease", task).evaluate({"l2": 40.0, "values": "log_count"})
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_blend_is_taught_by_what_is_over_and_judged_as_its_stage_judges_it(layout: Layout, log: SplitLog) -> None:
    target = objectives.tuning_target(layout, SETTINGS, "blend", "next")
    windows = read_snapshot_windows(layout, SETTINGS, log, "next")
    assert all(window.cold_users(layout, SETTINGS, log) is None for window in windows)
    examples = training_examples(windows, SETTINGS.blend["next"].negative_share, SETTINGS.seed)
    options = SETTINGS.blend["next"].model_copy(update={"num_trees": 5})
    blend = objectives.BlendRanker.fit(windows[-1].context, examples[:-1], options, SETTINGS.seed)
    expected = windows[-1].evaluate(blend)["blend"]
    assert target.evaluate({"num_trees": 5}).mean() == pytest.approx(expected, abs=1e-6)
    assert target.window.role == "valid"


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("eas", "next", r"no model 'eas' in params\.yaml; known are ease, popularity, blend"),
        ("ease", "nxt", r"task 'nxt' is unknown; known are next, discovery"),
        ("blend", "discovery", r"raise tasks\.discovery\.windows"),
    ],
)
def test_what_cannot_be_tuned_is_said(layout: Layout, name: str, task: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        objectives.tuning_target(layout, SETTINGS, name, task)


def test_search_nears_the_top_of_a_hill_and_repeats_itself():
    space = {"x": SearchRange(-1.0, 1.0), "n": SearchRange(1, 9), "way": SearchRange(choices=("up", "down"))}

    def hill(options):
        return -((options["x"] - 0.3) ** 2) - abs(options["n"] - 4) - (options["way"] == "down")

    found, again = (search_options(space, hill, 60, seed=5, first=[{"x": -1.0, "n": 1, "way": "up"}]) for _ in "ab")
    assert found.trials == again.trials
    assert len(found.trials) == 60
    assert found.trials[0][0] == {"x": -1.0, "n": 1, "way": "up"}
    assert found.options["n"] == 4
    assert found.options["way"] == "up"
    assert found.options["x"] == pytest.approx(0.3, abs=0.2)
    assert found.value == max(value for _, value in found.trials)


def test_a_search_that_was_cut_goes_on_where_it_ended(tmp_path):
    space, seen, first = {"x": SearchRange(0.0, 1.0)}, [], [{"x": 0.25}, {"x": 0.75}]

    def cut(options):
        if len(seen) == 3:
            raise KeyboardInterrupt
        seen.append(options["x"])
        return -abs(options["x"] - 0.7)

    journal = tmp_path / "trials"
    with pytest.raises(KeyboardInterrupt):
        search_options(space, cut, 6, seed=1, first=first, journal=journal)
    before, seen[:] = list(seen), []
    found = search_options(
        space, lambda options: seen.append(options["x"]) or -1.0, 6, seed=1, first=first, journal=journal
    )
    assert before[:2] == [0.25, 0.75]
    assert len(seen) == 3
    assert [options["x"] for options, _ in found.trials] == before + seen
    assert found.options == {"x": 0.75}


def test_an_interrupt_while_a_trial_is_kept_waits_until_it_is(tmp_path):
    """Ctrl-C comes while the journal is written: the trial is there, and so is the interrupt."""
    journal, keep = tmp_path / "trials", optuna.Study.tell

    def interrupted(study, *arguments, **named):
        signal.raise_signal(signal.SIGINT)
        return keep(study, *arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optuna.Study, "tell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            search_options({"x": SearchRange(0.0, 1.0)}, lambda options: options["x"], 3, seed=1, journal=journal)
    found = search_options({"x": SearchRange(0.0, 1.0)}, lambda options: options["x"], 3, seed=1, journal=journal)
    assert len(found.trials) == 3
