"""A user of a trained, deployed shop is forgotten: after a run, a release and a cleaning nothing has them any more."""

from pathlib import Path

import pandas as pd
import pytest

from tests.support.drifting_shop import LOG, copy_shop, tell
from tests.support.projects import command
from tierrec_core.base.paths import Layout

pytestmark = pytest.mark.slow
OWN_COMMIT = "your own commit: take the file out of git's history:"


def run(layout: Layout, *arguments: str, code: int = 0) -> str:
    done = command(layout.root, "tierrec", *arguments, timeout=900)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_forgotten_user_is_in_no_artefact_of_a_served_shop(tmp_path: Path) -> None:
    """The shop has committed its log, so that its own git history is what is left to itself."""
    layout = Layout(tmp_path / "shop")
    copy_shop(layout.root)
    log = pd.read_parquet(layout.root / LOG)
    user = str(log["user_id"].value_counts().index[0])
    tell(layout.root, log[log["user_id"] == user].tail(3))
    before = run(layout, "forget", user, "--verify", code=1)
    bundle = "data/package/bundle/precomputed/users/text.npy: index of users"
    for place in (bundle, ".bentoml/models/", ".dvc/cache/", "data/reference/meta.json", "data/serving/feedback.db"):
        assert place in before, place
    assert "3 events" in run(layout, "forget", user)
    assert "rows of forgotten users are left out" in run(layout, "run")
    log[log["user_id"] != user].to_parquet(layout.root / LOG)
    run(layout, "run")
    run(layout, "deploy")
    run(layout, "promote")
    left = run(layout, "forget", user, "--clean", code=1)
    assert "model tierrec-bundle:" in left
    places = left.partition("in this order:\n")[2].splitlines()
    assert places[0] == OWN_COMMIT
    assert {line for line in places[1:] if line.startswith("  ")} == {
        line for line in places if line.startswith("  git object") and LOG in line
    }
    others = pd.read_parquet(layout.raw_events)
    expected = log.loc[log["user_id"] != user, "user_id"].value_counts()
    pd.testing.assert_series_equal(
        others["user_id"].value_counts().sort_index(), expected.sort_index(), check_dtype=False, check_index_type=False
    )
