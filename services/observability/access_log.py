"""What the service may say about a person: pseudonyms in its log, one line of JSON an access or decision."""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

import orjson

from tierrec_core.base.errors import ArtifactError

SECRET_FILE = "log.secret"  # noqa: S105 - the name of a file
_SECRET_BYTES = 32
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({})))  # what every record has, user or not
_USER_PATH = re.compile(r"(?<=/users/).+?(?=/tier\Z|\Z)", re.DOTALL)


def pseudonym(user_id: str, secret: bytes) -> str:
    """A user's name in logs: HMAC-SHA256, 16 hex digits; the same for the same secret, and nothing without it."""
    return hmac.digest(secret, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:16]


def log_secret(folder: Path) -> bytes:
    """The state folder's secret for pseudonyms, made at first and readable by its owner only.

    Workers that start together agree on one. Raises ArtifactError when the file is damaged.
    """
    path = folder / SECRET_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{SECRET_FILE}.{secrets.token_hex(8)}"
        try:
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(_SECRET_BYTES))
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink(missing_ok=True)
    secret = path.read_bytes()
    if len(secret) != _SECRET_BYTES:
        raise ArtifactError(
            f"{path}: holds {len(secret)} bytes, wanted {_SECRET_BYTES}; delete it, and pseudonyms begin anew"
        )
    return secret


class Pseudonyms(logging.Filter):
    """Puts pseudonyms in the place of user ids before a record is formatted.

    A record's `user_id` becomes `user`, also where a field or argument repeats it; so does the id in a path /users/ID;
    of an exception, whose message may quote a request, only its type and place are kept.
    """

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; let every one pass."""
        fields = record.__dict__
        user_id = fields.pop("user_id", None)
        if user_id is not None:
            name = pseudonym(str(user_id), self._secret)
            repeated = [key for key, value in fields.items() if isinstance(value, str) and value == user_id]
            fields |= dict.fromkeys(repeated, name) | {"user": name}
            if isinstance(record.args, tuple):
                record.args = tuple(name if value == user_id else value for value in record.args)
        if isinstance(fields.get("path"), str):
            fields["path"] = _USER_PATH.sub(lambda found: pseudonym(found[0], self._secret), fields["path"])
        if record.exc_info and record.exc_info[0]:
            kind, _, place = record.exc_info
            record.exc_info, record.exc_text = None, "".join(traceback.format_tb(place)) + kind.__qualname__
        return True


class _JsonFormatter(logging.Formatter):
    """One line of JSON a record: time, level, message and extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "event": record.getMessage(),
            **{name: value for name, value in record.__dict__.items() if name not in _OWN_FIELDS},
        }
        if record.exc_text:
            fields["exc_info"] = record.exc_text
        try:
            return orjson.dumps(fields, default=str).decode()
        except orjson.JSONEncodeError:  # lone surrogates
            return json.dumps(fields, default=str)


@dataclass(frozen=True)
class JsonLog:
    """One line of JSON an access or decision; users by pseudonym. Fields that are None are left out."""

    logger: logging.Logger

    @classmethod
    def to(cls, stream: TextIO, secret: bytes, name: str = "tierrec.requests") -> Self:
        """A log that writes to the stream, and nowhere else; the same name again moves it there."""
        handler = logging.StreamHandler(stream)
        handler.addFilter(Pseudonyms(secret))
        handler.setFormatter(_JsonFormatter())
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
        return cls(logger)

    def access(self, method: str, path: str, status: int, seconds: float, **fields: Any) -> None:
        """A request and how it ended; more fields such as user_id, key_id, request_id. path is without its query."""
        self._write("access", method=method, path=path, status=status, seconds=round(seconds, 6), **fields)

    def decision(self, request_id: str, user_id: str | None, **fields: Any) -> None:
        """How an answer came about: surface, path, tier, model version and the like; never what a user typed."""
        self._write("decision", request_id=request_id, user_id=user_id, **fields)

    def failure(self, request_id: str | None, user_id: str | None, **fields: Any) -> None:
        """The exception that is being handled: its type and place, not its message."""
        known = {"request_id": request_id, "user_id": user_id} | fields
        self.logger.error("failure", exc_info=True, extra=_given(known))

    def _write(self, event: str, **fields: Any) -> None:
        self.logger.info(event, extra=_given(fields))


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
