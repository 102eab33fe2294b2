"""Files of a shop that cannot be read, or that change while they are: the last valid contents stay in force."""

import contextlib
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from services.auth.keys import FILE as KEYS
from services.auth.keys import KeyScope, add_key, revoke_key
from services.releases.pointer import FILE as POINTER
from services.releases.pointer import Deployed, Pointer
from services.shared_files import read_or_last_valid
from services.tenants.served_model import ServedModel
from services.tenants.shop import FEEDBACK
from tests.support.open_shops import LOOK_SECONDS, Opener, event, until
from tierrec_core.base import artifacts

pytest_plugins = ["tests.support.open_shops"]


def test_a_worker_starts_with_the_last_valid_contents(start: Opener) -> None:
    caller = start()
    folder = caller.shop.folder
    (folder / "review.yaml").write_text("blocked: [i31]")
    until(lambda: "i31" not in caller.listed(user_id="u59", k=40))
    until((folder / ".review.yaml.valid").exists)
    (folder / "review.yaml").write_text("blocked: [")
    for worker in (caller, start()):
        assert "i31" not in worker.listed(user_id="u59", k=40)
    (folder / "review.yaml").unlink()
    assert "i31" in start().listed(user_id="u59", k=40)
    (folder / "review.yaml").write_text("blocked: [")
    assert "i31" in start().listed(user_id="u59", k=40), "what was deleted does not come back"


def test_a_service_starts_with_a_store_that_is_no_database(start: Opener) -> None:
    folder = start.root / "default"
    folder.mkdir(parents=True)
    (folder / FEEDBACK).write_bytes(b"not a database" * 1000)
    caller = start()
    answer = caller.recommend(user_id="u59", k=5)
    assert answer["items"]
    assert not answer["known_user"], "they may have been erased"
    assert caller.send("POST", "/events", json={"events": [event(1, "u59", "i31")]}).status_code == 503
    (folder / FEEDBACK).write_bytes(b"")
    assert caller.send("POST", "/events", json={"events": [event(1, "u59", "i31")]}).status_code == 200
    assert caller.recommend(user_id="u59", k=5)["known_user"]


def test_a_revoked_key_is_refused_while_another_file_cannot_be_read(start: Opener) -> None:
    start.patience = 1.0
    caller = start()
    folder = caller.shop.folder
    key, token = add_key(folder / KEYS, "shop", (KeyScope.READ,))
    reader = caller.of("default", Authorization=f"Bearer {token}")
    until(lambda: reader.send("POST", "/recommend", json={}).status_code == 200)
    os.mkfifo(folder / "rules.yaml")  # reading it blocks until a writer opens it
    try:
        time.sleep(LOOK_SECONDS)
        assert reader.send("POST", "/recommend", json={}).status_code == 200
        revoke_key(folder / KEYS, key.id)
        time.sleep(LOOK_SECONDS)
        assert reader.send("POST", "/recommend", json={}).status_code == 401
    finally:
        (folder / "rules.yaml").write_text("rules: []")


def test_a_file_that_changes_while_it_is_read_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("valid")

    def read(file: Path) -> str:
        text = file.read_text()
        file.write_text("not valid")
        return text

    assert read_or_last_valid(path, read, print) == "valid"
    assert not path.with_name(".a.txt.valid").exists()
    assert read_or_last_valid(path, Path.read_text, print) == "not valid"
    assert path.with_name(".a.txt.valid").read_text() == "not valid"


class OvertakenOpener(Opener):
    """While it loads one Bento, the pointer is set to another."""

    def _load(self, tag: str) -> ServedModel:
        if tag == "tierrec:next":
            point(self.root / "default", "tierrec:gone")
        return super()._load(tag)


def point(folder: Path, tag: str) -> None:
    pointer = Pointer(champion=Deployed(bento=tag, model="m:1"), changed=datetime(2026, 1, 1, tzinfo=UTC))
    artifacts.write_json(pointer.model_dump(mode="json"), folder / POINTER)


def test_a_pointer_that_changes_while_its_models_are_loaded_is_not_kept(start: Opener) -> None:
    with contextlib.closing(OvertakenOpener(start.root, start.bundles)) as overtaken:
        overtaken.add("tierrec:next", lambda _: None)
        caller = overtaken()
        folder = caller.shop.folder
        time.sleep(LOOK_SECONDS)
        point(folder, "tierrec:next")
        until(lambda: caller.metric("tierrec_swaps_total", result="done") == 1)
        assert "gone" in (folder / POINTER).read_text()
        assert not (folder / f".{POINTER}.valid").exists()
