"""The forgotten users: keyed hashes of ids whose rows `ingest` leaves out, however often a source delivers them.

The key lies beside the list, outside of git, and is of this list alone: a reader of the list cannot test ids
without it, and an ingest started by hand or by cron finds it, which it would not in a state folder that an environment
variable names.
"""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, DataError
from tierrec_core.base.ids import text_ids
from tierrec_core.base.paths import Layout

_KEY_BYTES = 32
_CHECKED = b"tierrec: users of this list are forgotten"  # its hash shows whether the key is the list's


def plain_user_id(text: str) -> str:
    """The id in the form in which logs, tables and requests are compared. Raises DataError for a blank one."""
    (user_id,) = text_ids(pd.Series([text.strip()], dtype="string"))
    if pd.isna(user_id) or not user_id:
        raise DataError(f"user {text!r}: is blank, wanted the id of one user")
    return str(user_id)


@dataclass(frozen=True)
class ForgottenUsers:
    """The hashes of forgotten users, and the key that makes them; without any, the key may be empty."""

    hashes: frozenset[str]
    key: bytes

    @classmethod
    def read(cls, layout: Layout) -> Self:
        """The project's list; empty where nobody was forgotten.

        Raises ArtifactError when the list or its key is missing, damaged or another's: no ingest may run without them.
        """
        path, key_path = layout.forgotten_list, layout.forgotten_key
        if not path.exists() and not key_path.exists():
            return cls(frozenset(), b"")
        for file in (path, key_path):
            if not file.is_file():
                raise ArtifactError(
                    f"{file}: is missing, wanted it to leave out the forgotten users; restore it from a backup, or "
                    f"delete {path.parent} and forget each of them again"
                )
        key, rows = _read_key(key_path), artifacts.read_json(path)
        try:
            hashes, check = frozenset(map(str, rows["users"])), rows["check"]
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: has no list of users ({error}); restore it from a backup") from error
        if check != _hash(_CHECKED, key):
            raise ArtifactError(f"{path}: was not made with the key in {key_path}; restore both from one backup")
        return cls(hashes, key)

    def __contains__(self, user_id: str) -> bool:
        return bool(self.hashes) and _hash(_encoded(user_id), self.key) in self.hashes

    def of(self, user_ids: pd.Series) -> pd.Series:
        """Whether each row is of a forgotten user, [N]."""
        if not self.hashes:
            return pd.Series(False, user_ids.index)
        return user_ids.isin([user_id for user_id in user_ids.dropna().unique() if user_id in self])


def add_forgotten_user(layout: Layout, user_id: str) -> None:
    """Put a user on the list; one who is there already changes nothing. Raises ArtifactError.

    user_id: in its plain form
    """
    path = layout.forgotten_list
    if not path.exists():
        key = _make_key(layout.forgotten_key)
        _write_list(path, [], key)
    known = ForgottenUsers.read(layout)
    if user_id not in known:
        _write_list(path, {*known.hashes, _hash(_encoded(user_id), known.key)}, known.key)


def _write_list(path: Path, hashes: Iterable[str], key: bytes) -> None:
    artifacts.write_json({"users": sorted(hashes), "check": _hash(_CHECKED, key)}, path)


def _make_key(path: Path) -> bytes:
    """Write a new key, or take the one of a call that was killed before it wrote the list."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / ".gitignore").write_text("*\n")  # whatever the project's own ignores
        with artifacts.replacing_file(path) as fresh:
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(_KEY_BYTES))
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    try:
        key = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror}); run as the owner of the project") from error
    if len(key) != _KEY_BYTES:
        raise ArtifactError(f"{path}: holds {len(key)} bytes, wanted {_KEY_BYTES}; restore it from a backup")
    return key


def _encoded(user_id: str) -> bytes:
    return user_id.encode("utf-8", "surrogatepass")


def _hash(text: bytes, key: bytes) -> str:
    return hmac.digest(key, text, hashlib.sha256).hex()
