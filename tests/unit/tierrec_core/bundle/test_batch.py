"""Parts against the bundle's own lists, and restarts against what was there before."""

import numpy as np
import pandas as pd
import pytest

from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError
from tierrec_core.bundle.batch import write_lists

K = 7


def write(bundle, folder, progress=lambda line: None, **options):
    return write_lists(
        bundle, "next", folder, progress=progress, **({"fingerprint": "one", "k": K, "batch": 25} | options)
    )


def snapshot(folder):
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def contents(files):
    return {name: content for name, (_, content) in files.items()}


@pytest.mark.medium
def test_the_parts_are_the_lists_of_all_users(bundle, tmp_path):
    manifest = write(bundle, tmp_path)
    frame = pd.concat([pd.read_parquet(tmp_path / name) for name in manifest["parts"]], ignore_index=True)
    ranked = bundle.recommend("next", bundle.history, K)
    row, place = np.nonzero(ranked.items >= 0)
    np.testing.assert_array_equal(frame["user_id"], bundle.history.users[row])
    np.testing.assert_array_equal(frame["item_id"], bundle.history.items[ranked.items[row, place]])
    np.testing.assert_array_equal(frame["rank"], place + 1)
    np.testing.assert_allclose(frame["score"], ranked.scores[row, place], rtol=1e-5)


def test_the_manifest_tells_what_is_there(bundle, tmp_path):
    manifest = write(bundle, tmp_path)
    assert manifest == artifacts.read_json(tmp_path / "manifest.json")
    assert [manifest[name] for name in ("bundle", "task", "k", "users")] == ["one", "next", K, 60]
    assert [part["users"] for part in manifest["parts"].values()] == [25, 25, 10]
    for name, part in manifest["parts"].items():
        assert part["sha256"] == artifacts.sha256(tmp_path / name)
        assert part["rows"] == len(pd.read_parquet(tmp_path / name))
    assert set(manifest["parts"]) | {"manifest.json"} == {path.name for path in tmp_path.iterdir()}


def test_a_restart_writes_only_what_is_missing(bundle, tmp_path):
    write(bundle, tmp_path)
    before, lines = snapshot(tmp_path), []
    middle = sorted(before)[2]
    (tmp_path / middle).unlink()
    (tmp_path / "manifest.json").unlink()
    (tmp_path / f".{middle}.123").write_bytes(b"half a part")
    write(bundle, tmp_path, progress=lines.append)
    after = snapshot(tmp_path)
    assert contents(after) == contents(before)
    untouched = [name for name in before if name.startswith("part") and before[name] == after[name]]
    assert len(untouched) == 2
    told = ["batch next: 2 of 3 parts already exist", "batch next: part 1 of 1"]
    assert [line.split(",")[0] for line in lines] == told


@pytest.mark.parametrize("change", [{"fingerprint": "two"}, {"k": 3}, {"batch": 30}])
def test_lists_of_anything_else_are_replaced(bundle, tmp_path, change):
    write(bundle, tmp_path / "changed")
    write(bundle, tmp_path / "changed", **change)
    write(bundle, tmp_path / "fresh", **change)
    assert contents(snapshot(tmp_path / "changed")) == contents(snapshot(tmp_path / "fresh"))


def test_a_damaged_part_is_written_again(bundle, tmp_path):
    manifest = write(bundle, tmp_path)
    first = tmp_path / next(iter(manifest["parts"]))
    content = first.read_bytes()
    first.write_bytes(content[: len(content) // 2])
    write(bundle, tmp_path)
    assert first.read_bytes() == content


def test_an_interrupted_run_leaves_no_manifest(bundle, tmp_path):
    write(bundle, tmp_path)

    def stop(line):
        if "part 2 of" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(bundle, tmp_path, progress=stop, fingerprint="two")
    assert not (tmp_path / "manifest.json").exists()
    lines = []
    write(bundle, tmp_path, progress=lines.append, fingerprint="two")
    assert lines[0] == "batch next: 2 of 3 parts already exist"


def test_an_unknown_task_is_named(bundle, tmp_path):
    with pytest.raises(SettingsError, match="'nxt' is unknown; wanted one of next, discovery"):
        write_lists(bundle, "nxt", tmp_path, fingerprint="one")
