"""The service's log: one JSON line per request, answer and failure, with pseudonyms instead of user ids."""

import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import sys
import traceback
import uuid
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

import orjson

from tierrec_core.base.errors import ArtifactError

SECRET_FILE = "log.secret"  # noqa: S105 - the name of a file
_SECRET_BYTES = 32
_STANDARD_FIELDS = frozenset(vars(logging.makeLogRecord({})))  # of every log record
_USER_PATH = re.compile(r"(?:(?<=/users/)|(?<=/user-attributes/)).+?(?=/tier\Z|\Z)", re.DOTALL)


_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def start_request(request_id: str | None = None) -> str:
    """The id, or a new one, for the request that this task handles, which all its log lines name."""
    request_id = request_id or uuid.uuid4().hex
    _request_id.set(request_id)
    return request_id


def current_request_id() -> str:
    """The id of the request that is handled, a new one outside of any."""
    return _request_id.get() or start_request()


def pseudonym(user_id: str, secret: bytes) -> str:
    """Pseudonym of a user in logs: HMAC-SHA256 with the shop's secret, 16 hex digits."""
    return hmac.digest(secret, user_id.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:16]


def log_secret(folder: Path) -> bytes:
    """The state folder's secret for pseudonyms, created on first use and readable by its owner only.

    Workers that start at the same time use the same one. Raises ArtifactError when the file is damaged.
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
            f"{path}: holds {len(secret)} bytes, wanted {_SECRET_BYTES}; delete it to start with new pseudonyms"
        )
    return secret


class PseudonymFilter(logging.Filter):
    """Replaces user ids by pseudonyms before a record is formatted.

    `user_id` becomes `user`; fields and arguments with the same value, and the id in a path /users/ID or
    /user-attributes/ID, are replaced.
    Of an exception, whose message may quote a request, only type and traceback are kept.
    """

    def __init__(self, secret: bytes) -> None:
        super().__init__()
        self._secret = secret

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; no record is dropped."""
        fields = record.__dict__
        user_id = fields.pop("user_id", None)
        if user_id is not None:
            name = pseudonym(str(user_id), self._secret)
            repeated = [key for key, value in fields.items() if isinstance(value, str) and value == user_id]
            fields |= dict.fromkeys(repeated, name) | {"user": name}
            if isinstance(record.args, tuple):
                record.args = tuple(name if value == user_id else value for value in record.args)
        if isinstance(fields.get("path"), str):
            fields["path"] = _USER_PATH.sub(lambda match: pseudonym(match[0], self._secret), fields["path"])
        if record.exc_info and record.exc_info[0]:
            kind, _, frames = record.exc_info
            record.exc_info, record.exc_text = None, "".join(traceback.format_tb(frames)) + kind.__qualname__
        return True


class _JsonFormatter(logging.Formatter):
    """One JSON line per record: time, level, message and extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "event": record.getMessage(),
            **{name: value for name, value in record.__dict__.items() if name not in _STANDARD_FIELDS},
        }
        if record.exc_text:
            fields["exc_info"] = record.exc_text
        try:
            return orjson.dumps(fields, default=str).decode()
        except orjson.JSONEncodeError:  # lone surrogates
            return json.dumps(fields, default=str)


@dataclass(frozen=True)
class JsonLog:
    """Logs requests, answers and failures. Fields that are None are left out."""

    logger: logging.Logger

    @classmethod
    def to(cls, stream: TextIO, secret: bytes, name: str = "tierrec.requests") -> Self:
        """A log that writes to the stream only; the same name again replaces the stream."""
        handler = logging.StreamHandler(stream)
        handler.addFilter(PseudonymFilter(secret))
        handler.setFormatter(_JsonFormatter())
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(logging.INFO)
        return cls(logger)

    def access(self, method: str, path: str, status: int, seconds: float, **fields: Any) -> None:
        """Log a request and its status; fields: user_id, key_id and the like; path: without the query."""
        self._write("access", {"method": method, "path": path, "status": status, "seconds": round(seconds, 6)} | fields)

    def decision(self, request_id: str, user_id: str | None, **fields: Any) -> None:
        """Log how an answer was made: surface, strategy, tier, model version; never a search query."""
        self._write("decision", {"request_id": request_id, "user_id": user_id} | fields)

    def failure(self, request_id: str | None, user_id: str | None, **fields: Any) -> None:
        """Log the exception that is being handled: its type and traceback, not its message."""
        self._write("failure", {"request_id": request_id, "user_id": user_id} | fields, logging.ERROR)

    def skipped(self, kind: str, reason: str, **fields: Any) -> None:
        """Log a stored row that cannot be applied, and why."""
        self._write("skipped", {"kind": kind, "reason": reason} | fields, logging.WARNING)

    def _write(self, event: str, fields: dict[str, Any], level: int = logging.INFO) -> None:
        named = fields if fields.get("request_id") else fields | {"request_id": _request_id.get()}
        present = {name: value for name, value in named.items() if value is not None}
        if self.logger.isEnabledFor(level):  # the frame of the caller, which `log` would look for, is in no line
            failed = sys.exc_info() if level == logging.ERROR else None
            made = self.logger.makeRecord(self.logger.name, level, "", 0, event, (), failed, extra=present)
            self.logger.handle(made)
