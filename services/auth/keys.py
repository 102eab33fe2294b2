"""API keys: 256 random bits each, of which the file keeps a SHA-256; slow hashes are for what can be guessed."""

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
from starlette.types import Scope

from services.shared_files import FileWatcher, exclusive
from tierrec_core.base import artifacts
from tierrec_core.base.errors import SettingsError, TierRecError
from tierrec_core.settings import Params, parse

FILE = "keys.json"
_PREFIX = "trk"
_SCHEME = "bearer "
_MAX_LIVE = 2  # of a label: the key in use, and the one that will replace it
_NOBODY = "0" * 64  # an unknown id costs the same comparison as a known one

logger = logging.getLogger(__name__)


class KeyScope(StrEnum):
    """What a key may do; none includes another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class Key(Params):
    """A key as the file keeps it. hash: SHA-256 of the whole key, hex; expires: None = never; label: whose it is."""

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: Annotated[tuple[KeyScope, ...], Field(min_length=1)]
    created: AwareDatetime
    expires: AwareDatetime | None = None
    label: Annotated[str, Field(min_length=1, max_length=100)]

    def is_live(self, now: datetime) -> bool:
        """Whether it still opens anything."""
        return self.expires is None or now < self.expires


class KeyFile(Params):
    """keys.json."""

    keys: tuple[Key, ...] = ()


@dataclass(frozen=True)
class Principal:
    """Who asks: the id of their key, and what it may do."""

    key_id: str
    scopes: frozenset[KeyScope]


LOCAL = Principal("local", frozenset(KeyScope))


@dataclass(frozen=True)
class Keyring:
    """The keys of a shop, by id. is_locked: that there is none means that nobody may enter, not that all may."""

    keys: Mapping[str, Key]
    is_locked: bool = False

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read keys.json; a missing file holds no keys. Raises SettingsError or ArtifactError when it is damaged."""
        return cls({key.id: key for key in _load(path)})

    @property
    def open(self) -> bool:
        """No key is configured: only requests from this machine may be answered, and these without a key."""
        return not (self.keys or self.is_locked)

    def authenticate(self, header: str | None, now: datetime | None = None) -> Principal | None:
        """Who a request's Authorization header (`Bearer trk_...`) speaks for; None: nobody that is known."""
        if header is None or header[: len(_SCHEME)].lower() != _SCHEME:
            return None
        token = header[len(_SCHEME) :].strip()
        key = self.keys.get(token.split("_", 2)[1] if token.count("_") >= 2 else "")
        matches = hmac.compare_digest(_hash(token), _NOBODY if key is None else key.hash)
        if key is None or not matches or not key.is_live(now or datetime.now(UTC)):
            return None
        return Principal(key.id, frozenset(key.scopes))


class LiveKeyring:
    """The keyring of a file that may be changed while the server runs. One that had keys never opens to all again."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._watch = path, FileWatcher(path, clock)
        self._ring = Keyring.read(path)

    def __call__(self, scope: Scope | None = None) -> Keyring:
        """The keys as of now; those from before when the file has become unreadable, which is logged."""
        del scope  # a Guard hands it in, for those who choose among several shops by it
        if self._watch.changed():
            try:
                ring = Keyring.read(self._path)
            except TierRecError as error:
                logger.error("%s; the keys from before stay", error)
            else:
                self._ring = replace(ring, is_locked=not self._ring.open)
        return self._ring


def add_key(
    path: Path, label: str, scopes: tuple[str, ...], lifetime: timedelta | None = None
) -> tuple[Key, str]:
    """Make a key, and hand back its entry and the key itself, which nothing can show again.

    Raises SettingsError when the label has two live keys already, or a scope is none.
    """
    now = datetime.now(UTC)
    with exclusive(path):
        kept = [key for key in _load(path) if key.is_live(now)]
        mine = [key.id for key in kept if key.label == label]
        if len(mine) >= _MAX_LIVE:
            raise SettingsError(
                f"{path}: {label!r} has {len(mine)} live keys already ({', '.join(mine)}), wanted fewer than "
                f"{_MAX_LIVE}; end one with `tierrec keys revoke ID`"
            )
        id_ = secrets.token_hex(4)
        token = f"{_PREFIX}_{id_}_{secrets.token_urlsafe(32)}"
        entry = {"id": id_, "hash": _hash(token), "scopes": scopes, "created": now, "label": label}
        key = parse(Key, entry | {"expires": now + lifetime if lifetime else None}, f"{path}: {label}")
        _save(path, [*kept, key])
    return key, token


def rotate_key(path: Path, label: str) -> tuple[Key, str, Key]:
    """Make a second key for a label, with the rights and lifetime of its first: the new one, its text, the first.

    Revoke the first once everybody has the new one. Raises SettingsError unless the label has one live key.
    """
    now = datetime.now(UTC)
    live = [key for key in _load(path) if key.label == label and key.is_live(now)]
    if not live:
        known = sorted({key.label for key in _load(path)})
        raise SettingsError(f"{path}: no live key is labelled {label!r}; wanted one of {known}")
    first = live[0]
    key, token = add_key(path, label, first.scopes, first.expires - first.created if first.expires else None)
    return key, token, first


def revoke_key(path: Path, key_id: str) -> Key:
    """Take a key away at once, and hand back its entry. Raises SettingsError when there is no such key."""
    with exclusive(path):
        keys = {key.id: key for key in _load(path)}
        gone = keys.pop(key_id, None)
        if gone is None:
            raise SettingsError(
                f"{path}: no key has the id {key_id!r}; wanted one of {', '.join(keys) or 'none'}"
            )
        _save(path, list(keys.values()))
    return gone


def check_host(ring: Keyring, host: str) -> str | None:
    """The warning that a server without keys must print before it listens on a host; None where there are keys.

    Raises SettingsError when there is no key and the host can be reached from other machines.
    """
    if not ring.open:
        return None
    if not is_loopback(host):
        raise SettingsError(
            f"serve: no API key is configured, and {host} can be reached from other machines; wanted 127.0.0.1\n"
            "add a key with `tierrec keys add LABEL`, or serve on 127.0.0.1"
        )
    return "WARNING: no API key is configured: whoever is on this machine may read, write and administer"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host, or be it."""
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
