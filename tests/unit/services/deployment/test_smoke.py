"""The users that the smoke test samples, and its message when a list differs."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from services.deployment.package import compare_with_evaluated, write_bundle
from services.deployment.smoke import require_equal, sample_lists
from tests.support.packaged_project import judged_project, packed_bundle
from tierrec_core.base import memmap
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.bundle.bundle import Bundle
from tierrec_core.bundle.user_tables import RankedLists

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> Path:
    return packed_bundle(tmp_path_factory.mktemp("bundle"), items)


@pytest.mark.parametrize("task", ["next", "discovery"])
def test_lists_are_those_that_the_bundle_ranks(bundle: Path, task: str) -> None:
    ranking = Bundle.load(bundle)
    found = sample_lists(bundle, task, 4)
    for user, items in found.items():
        history = ranking.history_of(user)
        assert history is not None
        columns = ranking.recommend(task, history, len(items)).items[0]
        assert items == ranking.items["item_id"].iloc[columns].tolist()


def test_users_are_evenly_spaced(bundle: Path) -> None:
    users = Bundle.load(bundle).history.users
    assert list(sample_lists(bundle, "next", 3)) == [users[0], users[round((len(users) - 1) / 2)], users[-1]]
    assert list(sample_lists(bundle, "next", 10_000)) == list(users)


def test_lists_with_scores_that_are_no_numbers_are_refused(tmp_path: Path, items: pd.DataFrame) -> None:
    layout, settings = judged_project(tmp_path, items)
    write_bundle(layout, settings)
    evaluated = pd.read_parquet(layout.lists("next", "blend")).query("rank <= 10").groupby("user_id")["item_id"]
    served = sample_lists(layout.bundle, "next", 10_000)
    kept = [item in served[user][:10] for user, listed in evaluated if user in served for item in listed]
    assert compare_with_evaluated(layout, "next") == sum(kept) / len(kept)
    folder = layout.bundle / "precomputed" / "ranked_lists" / "next"
    lists = memmap.map_arrays(RankedLists, folder)
    memmap.save_arrays(RankedLists(lists.items, lists.scores * np.nan), folder)
    with pytest.raises(GateError, match="next: lists have scores that are no finite numbers"):
        compare_with_evaluated(layout, "next")


def test_a_bundle_without_lists_is_an_error(bundle: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    shutil.copytree(bundle, empty)
    folder = empty / "precomputed" / "ranked_lists" / "next"
    lists = memmap.map_arrays(RankedLists, folder)
    memmap.save_arrays(RankedLists(lists.items * 0 - 1, lists.scores), folder)
    with pytest.raises(ArtifactError, match="has no next list"):
        sample_lists(empty, "next", 3)


def test_a_difference_is_reported_with_its_rank() -> None:
    expected = {"a": ["x", "y"], "b": ["x", "y"], "c": ["x"]}
    with pytest.raises(GateError, match="next: 2 of 3 served lists") as raised:
        require_equal("next", {"a": ["x", "z"], "b": ["x"], "c": ["x"]}, expected)
    message = str(raised.value)
    assert "user 'a' rank 2: served ['z'], wanted ['y']" in message
    assert "user 'b' rank 2: served [], wanted ['y']" in message
    require_equal("next", expected, expected)
