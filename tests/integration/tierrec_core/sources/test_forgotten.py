"""Forgotten users are left out of every frame that ingest writes, whatever delivers them again."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.support.drifting_shop import configure
from tests.support.projects import ROOT
from tierrec_core import sources
from tierrec_core.base.errors import ArtifactError, DataError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings
from tierrec_core.sources.input_files.forgotten import ForgottenUsers, add_forgotten_user, plain_user_id
from tierrec_core.sources.input_files.manifest import source_manifest

EMAIL = "ann@example.org"


@pytest.fixture
def shop(tmp_path: Path) -> Layout:
    """A log, a table of users and an export of feedback, each with Ann in another spelling."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    source = {"kind": "files", "paths": ["log.csv"], "users_path": "users.csv", "feedback": True}
    configure(tmp_path, source=source)
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,timestamp\nAnn@Example.org,i1,2024-01-01T10:00:00\nbob,i2,2024-01-01T11:00:00\n"
        f" {EMAIL},i3,2024-01-02T10:00:00\n12.0,i1,2024-01-03T10:00:00\n"
    )
    (tmp_path / "users.csv").write_text(f"user_id,plan\n{EMAIL},gold\nbob,free\n")
    layout = Layout(tmp_path)
    layout.feedback.mkdir(parents=True)
    posted = {
        "user_id": [EMAIL, "bob"],
        "item_id": "i9",
        "event": "view",
        "timestamp": pd.Timestamp("2024-01-04", tz="UTC"),
    }
    pd.DataFrame(posted).to_parquet(layout.feedback / "events.parquet")
    pd.DataFrame({"user_id": [EMAIL], "name": ["Ann"]}).to_parquet(layout.feedback / "users.parquet")
    return layout


def ingest(layout: Layout) -> dict[str, pd.DataFrame]:
    sources.run(layout, read_settings(layout.params))
    return {path.name: pd.read_parquet(path) for path in (layout.raw_events, layout.raw_users, layout.raw_items)}


def test_rows_of_a_forgotten_user_are_left_out_and_counted(shop: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    before = ingest(shop)
    add_forgotten_user(shop, plain_user_id("ANN@example.org"))
    capsys.readouterr()
    after = ingest(shop)
    assert (
        "4 rows of forgotten users are left out" in capsys.readouterr().out
    )  # two of the log, one posted, one described
    for name in ("events.parquet", "users.parquet"):
        others = before[name][before[name]["user_id"] != EMAIL].reset_index(drop=True)
        pd.testing.assert_frame_equal(after[name], others)
    pd.testing.assert_frame_equal(after["items.parquet"], before["items.parquet"])


def test_numbers_are_forgotten_as_the_log_is_read(shop: Layout) -> None:
    add_forgotten_user(shop, plain_user_id(" 12.0"))
    assert "12" not in set(ingest(shop)["events.parquet"]["user_id"])


def test_the_list_holds_hashes_alone_and_its_key_is_the_owners(shop: Layout) -> None:
    add_forgotten_user(shop, EMAIL)
    first = shop.forgotten_list.read_text()
    add_forgotten_user(shop, EMAIL)
    assert shop.forgotten_list.read_text() == first
    assert EMAIL not in first
    assert shop.forgotten_key.stat().st_mode & 0o777 == 0o600
    add_forgotten_user(shop, "bob")
    assert len(ForgottenUsers.read(shop).hashes) == 2


def test_a_forgotten_user_makes_ingest_stale(shop: Layout) -> None:
    source = read_settings(shop.params).source
    manifests = [source_manifest(source, shop)]
    for user in (EMAIL, "bob"):
        add_forgotten_user(shop, user)
        manifests.append(source_manifest(source, shop))
    assert len({str(manifest) for manifest in manifests}) == 3


def test_sources_without_files_notice_forgotten_users_too(shop: Layout) -> None:
    configure(shop.root, source={"kind": "synthetic", "num_users": 20, "num_items": 10})
    source = read_settings(shop.params).source
    assert source_manifest(source, shop) == {}
    add_forgotten_user(shop, "u003")
    assert [entry["role"] for entry in source_manifest(source, shop).values()] == ["forgotten users"]


@pytest.mark.parametrize("lost", ["users.json", "key"])
def test_nothing_is_ingested_without_the_list_or_its_key(shop: Layout, lost: str) -> None:
    add_forgotten_user(shop, EMAIL)
    (shop.forgotten_list.parent / lost).unlink()
    with pytest.raises(ArtifactError, match=f"{lost}: is missing"):
        ingest(shop)


def test_another_key_is_noticed(shop: Layout) -> None:
    add_forgotten_user(shop, EMAIL)
    shop.forgotten_key.write_bytes(bytes(32))
    with pytest.raises(ArtifactError, match="was not made with the key"):
        ingest(shop)


def test_a_call_that_was_killed_after_the_key_is_repeated(shop: Layout) -> None:
    add_forgotten_user(shop, EMAIL)
    shop.forgotten_list.unlink()
    add_forgotten_user(shop, EMAIL)
    assert EMAIL in ForgottenUsers.read(shop)


def test_a_blank_id_is_no_user() -> None:
    with pytest.raises(DataError, match="is blank"):
        plain_user_id(" \u200b")
