"""A whole benchmark of a made data set: tuned, judged, compared and merged, each model in its own process."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.models import record
from benchmarks.models.bench import Bench
from benchmarks.models.datasets.given_split import GivenSplit
from benchmarks.models.task import DatasetNotes, Entry
from tierrec_core.settings import SearchRange


@pytest.mark.slow
def test_models_are_tuned_judged_compared_and_merged(tmp_path):
    rng = np.random.default_rng(0)
    rows = [
        (user, user % 2 * 20 + item, "test" if place < 2 else "train")
        for user in range(40)
        for place, item in enumerate(rng.permutation(20)[:12])
    ]
    pd.DataFrame(rows, columns=["user_id", "item_id", "split"]).to_parquet(tmp_path / "tiny.parquet")
    popular = Entry("popularity", "popularity", is_peer=True)
    ease = Entry("ease", "ease", fixed={"values": "binary"}, space={"l2": SearchRange(1.0, 2.0)}, trials=2)
    dataset = GivenSplit("tiny", (), {}, (popular, ease), DatasetNotes("", ""))
    bench = Bench(tmp_path, tmp_path / "kept", revision="abc", seed=7)
    lines = {entry.name: bench.measure(dataset, entry, None) for entry in dataset.entries}
    assert lines["ease"]["trials"] == 2
    assert 1.0 <= lines["ease"]["params"]["l2"] <= 2.0
    compared = bench.compare(dataset, lines)
    gain = compared["ease"]["against"]["recall@20"]
    single = lines["ease"]["recall@20"]["value"] - lines["popularity"]["recall@20"]["value"]
    assert abs(gain["value"] - single) < 2e-5
    assert gain["ci"][0] > 0  # two tastes: who knows the user wins
    again = bench.measure(dataset, ease, compared["ease"])
    assert again["recall@20"] == lines["ease"]["recall@20"]
    figures = tmp_path / "results.json"
    record.merge_lines(figures, "other", {"ease": lines["ease"]})
    record.merge_lines(figures, "tiny", compared)
    assert {name: set(found) for name, found in json.loads(figures.read_text()).items()} == {
        "other": {"ease"},
        "tiny": {"popularity", "ease"},
    }
