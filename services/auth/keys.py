"""API keys: 256 random bits each, stored as SHA-256; keys cannot be guessed, so a slow hash is not needed."""

import hashlib
import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, Field

from services.shared_files import FileWatcher, exclusive
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Params, parse

FILE = "keys.json"
_PREFIX = "trk"
_MAX_LIVE = 2  # per label: the key in use and its replacement
_NO_HASH = "0" * 64  # compared for unknown ids, so that they take as long as known ones

logger = logging.getLogger(__name__)


class KeyScope(StrEnum):
    """A permission of a key; none includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Key(Params):
    """A key as stored. hash: SHA-256 of the whole key, hex; expires: None = never; label: names its user."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    label: Annotated[str, Field(min_length=1, max_length=100)]

    def is_live(self, now: datetime) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires


class KeyFile(Params):
    """The content of keys.json."""

    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Principal:
    """The authenticated caller: the id of the key and its scopes."""

    key_id: str
    scopes: frozenset[KeyScope]


LOCAL = Principal("local", frozenset({KeyScope.READ, KeyScope.WRITE}))


@dataclass(frozen=True)
class Keyring:
    """The keys of a shop, by id. is_locked: an empty keyring refuses every request instead of allowing local ones."""

    keys: Mapping[str, Key]
    is_locked: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read keys.json; a missing file has no keys. Raises SettingsError or ArtifactError if it is damaged."""
        return cls({key.id: key for key in _load(path)})

    @property
    def open(self) -> bool:
        """Whether no key is configured, so that requests from this machine need none and others are refused."""
        return not (self.keys or self.is_locked)

    def authenticate(self, header: str | None, now: datetime | None = None) -> Principal | None:
        """The caller by the Authorization header (`Bearer trk_...`); None if the key is not valid."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        key = self.keys.get(token.split("_", 2)[1] if token.count("_") >= 2 else "")
        matches = hmac.compare_digest(_hash(token), _NO_HASH if key is None else key.hash)
        if key is None or not matches or not key.is_live(now or datetime.now(UTC)):
            return None
        return Principal(key.id, frozenset(key.scopes))


class LiveKeyring:
    """The keyring of a file that may change while the server runs; once it has had keys, it is never open again.

    While a file is invalid at the start, every request is refused: an earlier content may hold keys revoked since.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._watch = path, FileWatcher(path, clock)
        try:
            self._ring = Keyring.read(path)
        except TierRecError as error:
            logger.error("%s; every request is refused", error)
            self._ring = Keyring({}, is_locked=True)

    @property
    def is_due(self) -> bool:
        """Whether a call would check the file."""
        return self._watch.is_due

    @property
    def current(self) -> Keyring:
        """The keys as of the last call, without I/O."""
        return self._ring

    def __call__(self) -> Keyring:
        """The current keys; the previous ones if the file has become unreadable, which is logged."""
        if self._watch.changed():
            try:
                ring = Keyring.read(self._path)
            except TierRecError as error:
                logger.error("%s; the previous keys stay in force", error)
                self._watch.retry()
            else:
                self._ring = replace(ring, is_locked=not self._ring.open)
        return self._ring


def add_key(path: Path, label: str, scopes: tuple[str, ...], lifetime: timedelta | None = None) -> tuple[Key, str]:
    """Create a key, and return its entry and the key itself, which is not stored.

    Raises SettingsError if the label has two live keys already, or a scope is unknown.
    """
    now = datetime.now(UTC)
    with exclusive(path):
        live = [key for key in _load(path) if key.is_live(now)]
        same_label = [key.id for key in live if key.label == label]
        if len(same_label) >= _MAX_LIVE:
            raise SettingsError(
                f"{path}: {label!r} has {len(same_label)} live keys already ({', '.join(same_label)}), "
                f"wanted fewer than {_MAX_LIVE}; revoke one with `tierrec keys revoke ID`"
            )
        id_ = secrets.token_hex(4)
        token = f"{_PREFIX}_{id_}_{secrets.token_urlsafe(32)}"
        entry = {"id": id_, "hash": _hash(token), "scopes": scopes, "created": now, "label": label}
        key = parse(Key, entry | {"expires": now + lifetime if lifetime else None}, f"{path}: {label}")
        _save(path, [*live, key])
    return key, token


def rotate_key(path: Path, label: str) -> tuple[Key, str, Key]:
    """Create a second key for a label, with the scopes and lifetime of its first.

    Returns the new entry, the new key and the first entry; revoke the first once all clients use the new key. Raises
    SettingsError unless the label has exactly one live key.
    """
    now = datetime.now(UTC)
    live = [key for key in _load(path) if key.label == label and key.is_live(now)]
    if not live:
        labels = sorted({key.label for key in _load(path)})
        raise SettingsError(f"{path}: no live key is labelled {label!r}; wanted one of {', '.join(labels) or 'none'}")
    first = live[0]
    key, token = add_key(path, label, first.scopes, first.expires - first.created if first.expires else None)
    return key, token, first


def revoke_key(path: Path, key_id: str) -> Key:
    """Delete a key, and return its entry. Raises SettingsError for an unknown id."""
    with exclusive(path):
        keys = {key.id: key for key in _load(path)}
        revoked = keys.pop(key_id, None)
        if revoked is None:
            raise SettingsError(f"{path}: no key has the id {key_id!r}; wanted one of {', '.join(keys) or 'none'}")
        _save(path, list(keys.values()))
    return revoked


def check_host(ring: Keyring, host: str) -> str | None:
    """The warning to print before a server without keys listens on a host; None if there are keys.

    Raises SettingsError if there is no key and the host can be reached from other machines.
    """
    if not ring.open:
        return None
    if not is_loopback(host):
        raise SettingsError(
            f"serve: no API key is configured, and {host} can be reached from other machines; wanted 127.0.0.1\n"
            "add a key with `tierrec keys add LABEL`, or serve on 127.0.0.1"
        )
    return "WARNING: no API key is configured: any process on this machine may read and write"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _load(path: Path) -> tuple[Key, ...]:
    return parse(KeyFile, artifacts.read_json(path), str(path)).keys if path.exists() else ()


def _save(path: Path, keys: list[Key]) -> None:
    text = KeyFile(keys=tuple(keys)).model_dump_json(indent=2)
    with artifacts.replacing_file(path) as fresh:
        fresh.touch(mode=0o600)
        fresh.write_text(text + "\n")
