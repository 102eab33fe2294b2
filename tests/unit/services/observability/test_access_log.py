"""Requests need a valid key, and no log line contains a user id."""

import hashlib
import hmac
import io
import itertools
import json
import multiprocessing
import resource
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.keys import Keyring, KeyScope, LiveKeyring, add_key, check_host, is_loopback, revoke_key, rotate_key
from services.observability.access_log import JsonLog, PseudonymFilter, log_secret, pseudonym, start_request
from tierrec_core.base.errors import ArtifactError, SettingsError

FORK = multiprocessing.get_context("fork")
SECRET = bytes(range(32))
READ, WRITE = KeyScope.READ, KeyScope.WRITE
# Longer than anything that a line says by itself, so that to find one is to have leaked one.
IDS = st.text(min_size=1, max_size=20).map(lambda text: f"person {text} of the shop")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "keys.json"


def bearer(token: str) -> str:
    return f"Bearer {token}"


def test_a_key_has_its_scopes_and_is_not_stored(path: Path) -> None:
    key, token = add_key(path, "shop", (READ, WRITE))
    principal = Keyring.read(path).authenticate(bearer(token))
    assert principal is not None
    assert (principal.key_id, principal.scopes) == (key.id, {READ, WRITE})
    assert token.startswith(f"trk_{key.id}_")
    assert len(token.split("_", 2)[2]) == 43
    kept = path.read_text()
    assert token.split("_", 2)[2] not in kept
    assert hashlib.sha256(token.encode()).hexdigest() in kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@given(st.data())
def test_no_other_text_is_a_key(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    _, token = add_key(path, "shop", (READ,))
    _, other = add_key(path, "other", (READ,))
    ring = Keyring.read(path)
    place = data.draw(st.integers(0, len(token) - 1))
    changed = token[:place] + data.draw(st.characters()) + token[place + 1 :]
    mixed = token[:13] + other[13:]
    for text in (changed, mixed, token[:-1], token + "=", "", "trk", "trk__", data.draw(st.text())):
        assert (ring.authenticate(bearer(text)) is None) == (text.strip() != token)
    for header in (None, "", token, f"Basic {token}", "Bearer"):
        assert ring.authenticate(header) is None
    assert ring.authenticate(f"bearer  {token}") is not None


def test_a_key_is_invalid_after_it_expires(path: Path) -> None:
    key, token = add_key(path, "shop", (READ,), timedelta(days=1))
    assert key.expires is not None
    ring, instant = Keyring.read(path), timedelta(microseconds=1)
    assert ring.authenticate(bearer(token), key.expires - instant) is not None
    assert ring.authenticate(bearer(token), key.expires) is None
    assert not ring.open


def test_rotation_has_at_most_two_valid_keys(path: Path) -> None:
    first, old = add_key(path, "shop", (READ, WRITE), timedelta(days=30))
    add_key(path, "other", (READ,))
    second, new, replaced = rotate_key(path, "shop")
    assert replaced == first
    assert second.scopes == first.scopes
    assert second.expires is not None
    assert second.expires - second.created == timedelta(days=30)
    for token in (old, new):
        assert Keyring.read(path).authenticate(bearer(token)) is not None
    with pytest.raises(SettingsError, match=f"'shop' has 2 live keys already .{first.id}, {second.id}"):
        rotate_key(path, "shop")
    assert revoke_key(path, first.id) == first
    assert Keyring.read(path).authenticate(bearer(old)) is None
    assert Keyring.read(path).authenticate(bearer(new)) is not None
    assert rotate_key(path, "shop")[2] == second
    with pytest.raises(SettingsError, match=f"no key has the id '{first.id}'"):
        revoke_key(path, first.id)
    with pytest.raises(SettingsError, match=r"no live key is labelled 'nobody'; wanted one of other, sh"):
        rotate_key(path, "nobody")


def test_expired_keys_make_room_for_new_ones(path: Path) -> None:
    for _ in range(3):
        add_key(path, "shop", (READ,), timedelta(microseconds=1))
    assert len(Keyring.read(path).keys) == 1


def test_writers_at_the_same_time_lose_no_key(path: Path) -> None:
    def write(name: str) -> None:
        for step in range(10):
            add_key(path, f"{name}{step}", (READ,))

    writers = [FORK.Process(target=write, args=(name,)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    labels = {key.label for key in Keyring.read(path).keys.values()}
    assert labels == {f"{name}{step}" for name in "ab" for step in range(10)}


def test_a_running_server_rereads_the_keys_and_stays_locked_without_any(path: Path) -> None:
    live = LiveKeyring(path, itertools.count().__next__)
    assert live().open
    _, token = add_key(path, "shop", (READ,))
    assert live().authenticate(bearer(token)) is not None
    _, other = add_key(path.with_name("more.json"), "more", (READ,))
    path.with_name("more.json").rename(path)
    assert live().authenticate(bearer(other)) is not None
    assert live().authenticate(bearer(token)) is None
    path.unlink()
    assert not live().open
    assert live().authenticate(bearer(other)) is None
    assert Keyring.read(path).open


def test_an_unreadable_file_keeps_the_previous_keys(path: Path) -> None:
    _, token = add_key(path, "shop", (READ,))
    live = LiveKeyring(path, itertools.count().__next__)
    for text in ('{"keys": [{"id": "x"}]}', "{", ""):
        path.write_text(text)
        assert live().authenticate(bearer(token)) is not None


def test_revoked_keys_do_not_come_back_when_a_server_starts_with_an_unreadable_file(path: Path) -> None:
    key, token = add_key(path, "shop", (READ,))
    LiveKeyring(path, itertools.count().__next__)()
    revoke_key(path, key.id)
    path.write_text("{")
    fresh = LiveKeyring(path, itertools.count().__next__)
    for ring in (fresh.current, fresh()):
        assert not ring.open
        assert ring.authenticate(bearer(token)) is None
    path.unlink()
    _, token = add_key(path, "shop", (READ,))
    assert fresh().authenticate(bearer(token)) is not None


def test_keys_that_could_not_be_read_are_read_again(path: Path) -> None:
    key, token = add_key(path, "shop", (READ,))
    live = LiveKeyring(path, itertools.count().__next__)
    assert live().authenticate(bearer(token)) is not None
    revoke_key(path, key.id)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))  # no file can be opened
    try:
        assert live().authenticate(bearer(token)) is not None
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert live().authenticate(bearer(token)) is None


def test_without_keys_only_loopback_is_served_with_a_warning(path: Path) -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert str(check_host(Keyring.read(path), host)).startswith("WARNING: no API key")
    for host in ("0.0.0.0", "::", "10.0.0.7", "example.org", ""):
        assert not is_loopback(host)
        with pytest.raises(SettingsError, match="no API key is configured"):
            check_host(Keyring.read(path), host)
    add_key(path, "shop", (READ,))
    assert check_host(Keyring.read(path), "0.0.0.0") is None


@given(st.text(), st.text(), st.binary(min_size=32, max_size=32))
def test_a_pseudonym_is_an_hmac(user: str, other: str, secret: bytes) -> None:
    name = pseudonym(user, secret)
    assert name == hmac.new(secret, user.encode(), "sha256").hexdigest()[:16]
    assert (pseudonym(other, secret) == name) == (other == user)


def test_workers_share_one_secret_that_only_its_owner_can_read(tmp_path: Path) -> None:
    answers = FORK.SimpleQueue()
    workers = [FORK.Process(target=lambda: answers.put(log_secret(tmp_path / "shop"))) for _ in range(4)]
    for worker in workers:
        worker.start()
    assert len({answers.get() for _ in workers} | {log_secret(tmp_path / "shop")}) == 1
    for worker in workers:
        worker.join()
    assert [file.name for file in (tmp_path / "shop").iterdir()] == ["log.secret"]
    assert stat.S_IMODE((tmp_path / "shop" / "log.secret").stat().st_mode) == 0o600
    assert log_secret(tmp_path / "another") != log_secret(tmp_path / "shop")
    (tmp_path / "shop" / "log.secret").write_bytes(b"short")
    with pytest.raises(ArtifactError, match=r"log\.secret: holds 5 bytes, wanted 32"):
        log_secret(tmp_path / "shop")


@given(IDS, IDS)
def test_no_log_line_contains_a_user_id(user: str, other: str) -> None:
    stream = io.StringIO()
    log = JsonLog.to(stream, SECRET, "tests.log")
    start_request("r0")
    log.access("GET", f"/users/{user}/tier", 200, 0.0012, user_id=user, key_id="0a")
    log.access("DELETE", f"/shops/a/users/{other}", 404, 0.0012)
    log.decision("r1", user, surface="products", who=user, tier="heavy", cursor=None)
    log.logger.warning("%s asked %s times", user, 3, extra={"user_id": user})
    try:
        {}[user]
    except KeyError:
        log.failure("r2", user)
        log.failure("r3", None)
    text = stream.getvalue()
    for one in (user, other):
        assert one not in text
        assert json.dumps(one)[1:-1] not in text
    found, name = [json.loads(line) for line in text.splitlines()], pseudonym(user, SECRET)
    assert text.count("\n") == len(found) == 6
    request = {"method": "GET", "path": f"/users/{name}/tier", "status": 200, "seconds": 0.0012}
    access = {"at": "", "level": "INFO", "event": "access", "key_id": "0a", "user": name, "request_id": "r0"}
    assert found[0] | {"at": ""} == access | request
    assert found[1]["path"] == f"/shops/a/users/{pseudonym(other, SECRET)}"
    assert found[2]["user"] == found[2]["who"] == name
    assert "cursor" not in found[2]
    assert found[3]["event"] == f"{name} asked 3 times"
    assert str(found[5]["exc_info"]).endswith("KeyError")
    assert "test_access_log.py" in str(found[5]["exc_info"])


def test_without_the_filter_the_log_contains_user_ids() -> None:
    stream = io.StringIO()
    log = JsonLog.to(stream, SECRET, "tests.leak")
    handler = log.logger.handlers[0]
    for one in [one for one in handler.filters if isinstance(one, PseudonymFilter)]:
        handler.removeFilter(one)
    log.access("GET", "/users/somebody/tier", 200, 0.1, user_id="somebody")
    assert stream.getvalue().count("somebody") == 2
