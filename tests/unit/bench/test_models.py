"""The benchmark's parts on made data: its rounds, its search, its figures and its page."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.families import demo_shop
from benchmarks.models import bench, page, record
from benchmarks.models.__main__ import FIGURES, PAGE
from benchmarks.models.datasets.complete_journey import MODELS, OfCandidates
from benchmarks.models.datasets.given_split import VALID_SHARE, GivenSplit
from benchmarks.models.datasets.public import DATASETS
from benchmarks.models.peers.complete_journey import tifu_knn, user_vectors
from benchmarks.models.task import DatasetNotes, Entry, Target, held_out
from benchmarks.models.trial import fit_entry, num_bytes, rank_users, user_metrics
from tierrec_core.base.paths import Layout
from tierrec_core.evaluation.metrics import Truth
from tierrec_core.models import registry
from tierrec_core.ranking import Candidates
from tierrec_core.settings import read_settings

METRICS = ("recall@20", "ndcg@20")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """60 users of two tastes, who met 14 of their 30 items, four of them in the test."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        for place, item in enumerate(rng.permutation(30)[:14]):
            rows.append((user, user % 2 * 30 + item, "test" if place < 4 else "train"))
    place = tmp_path_factory.mktemp("data")
    pd.DataFrame(rows, columns=["user_id", "item_id", "split"]).to_parquet(place / "tiny.parquet")
    return place


@pytest.fixture(scope="module")
def tiny():
    entries = (Entry("popularity", "popularity"), Entry("ease", "ease", fixed={"l2": 10.0}, is_peer=True))
    published = {"Somebody": {"recall@20": 0.5, "ndcg@20": 0.25}}
    targets = Target("recall@20", 0.2), Target("ndcg@20", 0.99)
    notes = DatasetNotes("nowhere", "tiny.parquet: user_id, item_id, split")
    return GivenSplit("tiny", targets, published, entries, notes)


@pytest.fixture(scope="module")
def rounds(folder, tiny):
    return tiny.rounds(folder, seed=3)


def pairs(history):
    return set(zip(history.users[history.user], history.items[history.item], strict=True))


def test_validation_is_cut_out_of_train_and_the_test_is_left_alone(folder, rounds):
    frame = pd.read_parquet(folder / "tiny.parquet").astype(str)
    parts = frame.groupby("split")[["user_id", "item_id"]]
    given = {name: set(part.itertuples(index=False, name=None)) for name, part in parts}
    valid, test = rounds
    assert pairs(test.history) == given["train"]
    users, items = test.history.users, test.history.items
    assert set(zip(users[test.truth.user], items[test.truth.item], strict=True)) == given["test"]
    hidden = set(zip(users[valid.truth.user], items[valid.truth.item], strict=True))
    assert hidden | pairs(valid.history) == given["train"]
    assert hidden & pairs(valid.history) == set()
    assert len(hidden) == 60 * round(10 * VALID_SHARE)


def test_the_seed_decides_what_is_hidden(folder, tiny, rounds):
    other = tiny.rounds(folder, seed=4)[0].truth
    assert not np.array_equal(rounds[0].truth.item, other.item)


def test_where_the_test_is_later_the_last_rows_are_hidden_whatever_the_seed(folder, tiny):
    frame = pd.read_parquet(folder / "tiny.parquet").query("split == 'train'").astype(str)
    last = set(frame.groupby("user_id").tail(1)[["user_id", "item_id"]].itertuples(index=False, name=None))
    later = dataclasses.replace(tiny, is_test_later=True)
    valid, _ = later.rounds(folder, seed=4)
    users, items = valid.history.users, valid.history.items
    assert set(zip(users[valid.truth.user], items[valid.truth.item], strict=True)) == last


def test_of_each_group_a_share_is_held_out_and_at_least_one():
    group, rank = np.array(["a"] * 40 + ["b"] * 3 + ["c"]), np.arange(44.0)[::-1]
    held = held_out(group, rank, 0.1)
    np.testing.assert_array_equal(np.flatnonzero(held), [36, 37, 38, 39, 42, 43])


def test_figures_are_those_of_the_definition():
    """Recall and NDCG one user after the other, as the judge defines them; an empty list scores nothing."""
    rng = np.random.default_rng(1)
    items = np.stack([rng.permutation(50)[:20] for _ in range(30)])
    items[4], items[5, 3:] = -1, -1
    taken = [rng.permutation(50)[: 1 + user] for user in range(30)]
    truth = Truth.of(np.repeat(np.arange(30), np.arange(1, 31)), np.concatenate(taken), 50)
    found = user_metrics(items, truth, METRICS)
    for user in range(30):
        gains = [1 / math.log2(rank + 2) for rank, item in enumerate(items[user]) if item in taken[user]]
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(20, len(taken[user]))))
        assert found["recall@20"][user] == pytest.approx(len(gains) / len(taken[user]))
        assert found["ndcg@20"][user] == pytest.approx(sum(gains) / ideal)


def test_lists_leave_out_what_is_hidden_and_who_is_not_asked_for(rounds, tiny):
    _, given = rounds
    model = fit_entry(tiny.entries[1], given.training, tiny.entries[1].fixed)
    asked = np.array([2, 50])
    items = rank_users(model, given, 20, asked)
    assert (np.delete(items, asked, axis=0) == -1).all()
    for user in asked:
        met = set(given.history.item[given.history.user == user])
        assert len(set(items[user])) == 20
        assert met & set(items[user]) == set()


def test_the_paired_interval_is_narrower_than_that_of_two_models_apart():
    rng = np.random.default_rng(0)
    ease = rng.random(400)
    values = {"ours": {"ndcg@20": ease + 0.01}, "peer": {"ndcg@20": ease}}
    gain = record.paired_differences(values, "peer", seed=0)["ours"]
    assert gain["peer"] == "peer"
    assert gain["ndcg@20"] == {"value": 0.01, "ci": [0.01, 0.01]}
    low, high = record.figures(values["ours"], seed=0)["ndcg@20"]["ci"]
    assert low < ease.mean() < high


def test_a_models_size_is_that_of_its_arrays(rounds, tiny):
    _, given = rounds
    model = fit_entry(tiny.entries[1], given.training, tiny.entries[1].fixed)
    assert num_bytes(model) == (60 * 60 + 60) * 4


def test_every_entry_of_every_data_set_can_be_configured_at_both_ends_of_its_spans():
    for dataset in DATASETS.values():
        assert dataset.metrics
        assert len({entry.name for entry in dataset.entries}) == len(dataset.entries)
        for entry in dataset.entries:
            ends = [
                {name: pick(span.choices or (span.low, span.high)) for name, span in entry.space.items()}
                for pick in (min, max)
            ]
            assert all(set(options) == set(entry.space) for options in entry.first)
            for options in () if entry.build else [*ends, *entry.first]:
                registry.configure(entry.kind, dict(entry.fixed) | dict(options))


def test_a_users_vector_is_that_of_the_paper_basket_by_basket(interactions):
    options = {"groups": 3, "within": 0.9, "across": 0.6, "neighbours": 4, "own_share": 0.7}
    vectors = user_vectors(interactions, options).toarray()
    for user in range(0, interactions.num_users, 7):
        np.testing.assert_allclose(vectors[user], tifu_vector(interactions, user, options), atol=1e-6)


def test_tifu_knn_mixes_a_user_with_the_nearest_others(training):
    options = {"groups": 3, "within": 0.9, "across": 0.6, "neighbours": 4, "own_share": 0.7}
    history = training.history
    scores = tifu_knn(training, options).score_catalogue(history)
    vectors = user_vectors(history, options).toarray()
    for user in range(0, history.num_users, 7):
        distance = ((vectors - vectors[user]) ** 2).sum(axis=1)
        distance[user] = np.inf
        peers = vectors[np.argsort(distance, kind="stable")[:4]].mean(axis=0)
        np.testing.assert_allclose(scores[user], 0.7 * vectors[user] + 0.3 * peers, atol=1e-5)


def tifu_vector(history, user, options):
    """One user's vector as the paper's formulas have it, group after group."""
    mine = history.user == user
    sessions = list(dict.fromkeys(history.session[mine]))
    baskets = np.zeros((len(sessions), history.num_items))
    for session, item in zip(history.session[mine], history.item[mine], strict=True):
        baskets[sessions.index(session), item] = 1.0
    size = -(-len(baskets) // options["groups"])
    groups = [baskets[max(end - size, 0) : end] for end in range(len(baskets), 0, -size)]
    total = np.zeros(history.num_items)
    for back, group in enumerate(groups):
        decay = options["within"] ** np.arange(len(group))[::-1]
        total += options["across"] ** back * (decay[:, None] * group).mean(axis=0)
    return total / len(groups)


def test_a_ranker_of_candidates_shows_nothing_else(training):
    class ById:
        def score_candidates(self, history, candidates):
            return np.where(candidates < 0, -np.inf, -candidates).astype(np.float32)

    chosen = Candidates(np.array([0, 0, 2]), np.array([3, 5, 1]), {})
    model = OfCandidates(ById(), chosen, training)
    scores = model.score_catalogue(training.history.select_users(np.array([2, 0])))
    assert {tuple(pair) for pair in np.argwhere(scores > -np.inf)} == {(0, 1), (1, 3), (1, 5)}
    assert scores[1, 3] > scores[1, 5]


def test_the_shops_entries_are_the_models_of_the_run():
    settings = read_settings(Layout(Path(__file__).parents[3]).params)
    assert set(MODELS) <= set(settings.models)


def test_a_file_of_lists_is_read_back_as_a_table(interactions):
    ranked = np.array([[4, 2, -1], [-1, -1, -1], [7, 0, 1]])
    row, place = np.nonzero(ranked >= 0)
    users, items = interactions.users.to_numpy()[row], interactions.items.to_numpy()[ranked[row, place]]
    frame = pd.DataFrame({"user_id": users, "item_id": items, "rank": place + 1})
    table = demo_shop.list_table(frame, interactions.users[:3], interactions.items, 2)
    np.testing.assert_array_equal(table, ranked[:, :2])


def test_the_shops_section_names_targets_that_are_missed_and_tiers_that_are_worse_off():
    def figure(value):
        return {"value": value, "ci": [value - 0.01, value + 0.01]}

    gain = {"all": figure(0.02), "light": figure(-0.02), "heavy": figure(-0.005)}
    found = {"users": 9, "blend": {"ndcg@10": figure(0.38)}, "gains": {"ease": {"ndcg@10": gain}}}
    text = "\n".join(demo_shop.lines({"tasks": {"next": found}}))
    assert "ndcg@10 0.3800 [0.3700, 0.3900], target 0.392: missed" in text
    assert "Tiers with a significant loss: light (ndcg@10, ease)." in text
    assert "| ease | ndcg@10 | +0.0200 [+0.0100, +0.0300] | -0.0200 [-0.0300, -0.0100] |  |" in text


def test_a_name_that_no_entry_has_is_refused(tiny):
    assert [entry.name for entry in bench.select_entries(tiny.entries, ["ease"])] == ["ease"]
    with pytest.raises(ValueError, match="esae is unknown here; known are popularity, ease"):
        bench.select_entries(tiny.entries, ["esae"])


def test_page_says_which_targets_are_reached_by_our_own_models_alone(tiny):
    figure = {"value": 0.4, "ci": [0.3, 0.5]}
    costs = {"fit_cpu_s": 1.0, "users_per_cpu_s": 9.0, "peak_mb": 100, "model_mb": 1.0, "params": {"l2": 10.0}}
    lines = {
        name: dict.fromkeys(METRICS, figure) | costs | {"seed": 1, "revision": "abc", "is_peer": name == "ease"}
        for name in ("popularity", "ease")
    }
    lines["ease"]["ndcg@20"] = {"value": 0.995, "ci": [0.99, 1.0]}
    lines["popularity"]["against"] = {"peer": "ease", "recall@20": {"value": -0.1, "ci": [-0.2, 0.1]}}
    text = "\n".join(page.dataset_section(tiny, lines))
    assert "recall@20 >= 0.200: reached, 0.4000 by popularity" in text
    assert "ndcg@20 >= 0.990: missed, 0.4000 by popularity" in text
    assert "| popularity | 0.4000 [0.3000, 0.5000] | -0.1000 [-0.2000, +0.1000] |" in text
    assert "Somebody 0.5000 / 0.2500" in text


def test_page_leads_with_the_model_that_is_fitted_as_the_published_ones_are(tiny):
    notes = dataclasses.replace(tiny.notes, comparable=("popularity",), extra_data="validation rows", caveat="no times")
    line = {"fit_cpu_s": 1.0, "users_per_cpu_s": 9.0, "peak_mb": 1, "model_mb": 1.0, "params": {}, "seed": 1}
    line |= {"revision": "abc", "is_peer": False}
    lines = {
        name: line | {metric: {"value": value, "ci": [0.0, 1.0]} for metric in tiny.metrics}
        for name, value in (("ease", 0.9), ("popularity", 0.3))
    }
    text = list(page.dataset_section(dataclasses.replace(tiny, notes=notes), lines))
    first, _, other = [row for row in text if row.startswith("- ")]
    assert first == (
        "- recall@20 >= 0.200: reached, 0.3000 by popularity; no times; fitted to the same data as the published models"
    )
    assert "also fitted to validation rows: recall@20 0.9000 by ease" in other
    rows = [row.split(" |")[0] for row in text if row.startswith(("| ease", "| popularity"))]
    assert rows[:2] == ["| popularity", "| ease †"]


def test_a_missing_file_is_named_with_its_source_and_form(tiny, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tiny.parquet: is missing; get the data from nowhere, convert it to"):
        tiny.rounds(tmp_path, 0)


def test_the_recorded_page_is_that_of_the_recorded_figures(tmp_path):
    page.write_results_page(tmp_path / "results.md", record.read(FIGURES))
    assert (tmp_path / "results.md").read_text() == PAGE.read_text()
