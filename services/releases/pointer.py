"""The pointer file of a shop: its champion, its challenger, and the challenger's share of users."""

import contextlib
import hashlib
import json
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, Self

from pydantic import AwareDatetime, NonNegativeInt, PositiveInt, model_validator

from services.releases.manifest import SmokeReport
from services.shared_files import exclusive
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError, TierRecError
from tierrec_core.settings import Params, Share, parse

FILE = "pointer.json"
Side = Literal["champion", "challenger"]
PointerAction = Literal["deploy", "promote", "rollback"]
_MAX_HISTORY = 100


class PointerConflictError(TierRecError):
    """The pointer is no longer the one on which a change was decided, and stays as it is."""


class Deployed(Params):
    """A Bento and its model, each by its exact tag."""

    bento: str
    model: str


class PointerChange(Params):
    """A change of a pointer: the action, its time (UTC), and the state after it."""

    revision: PositiveInt
    at: AwareDatetime
    act: PointerAction
    champion: Deployed
    challenger: Deployed | None
    share: Share


class Pointer(Params):
    """The champion serves all users, or all but the challenger's share.

    revision: number of changes; history: the newest of them, oldest first, the current state last
    """

    champion: Deployed
    challenger: Deployed | None = None
    share: Share = 0.0
    revision: NonNegativeInt = 0
    changed: AwareDatetime
    history: tuple[PointerChange, ...] = ()

    @model_validator(mode="after")
    def _no_share_without_challenger(self) -> Self:
        if self.challenger is None and self.share:
            raise ValueError(f"share is {self.share} without a challenger; wanted 0")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a pointer file. Raises ArtifactError when it is missing, SettingsError when it is invalid."""
        if not path.exists():
            raise ArtifactError(f"{path}: is missing, wanted a pointer to a champion; run `tierrec deploy`")
        try:
            raw = artifacts.read_json(path)
        except ArtifactError as error:
            raise ArtifactError(
                f"{path}: cannot be read ({error.__cause__}); restore it from a backup, or delete it and make a Bento "
                "the champion again by `tierrec deploy`"
            ) from error
        return parse(cls, raw, str(path))

    @classmethod
    def from_text(cls, text: str | bytes, where: str) -> Self:
        """Parse a pointer that a target holds. Raises SettingsError, which names `where`, when it is invalid."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise SettingsError(f"{where}: is not JSON ({error}); put an earlier version there again") from error
        return parse(cls, raw, where)

    def route(self, user_id: str, salt: str) -> Side:
        """The side that serves a user; with the same salt it changes only when the share shrinks or a side changes.

        A hash maps users to [0, 1), and the challenger serves those below the share; so when the share grows, it
        keeps its users.
        """
        if self.challenger is None:
            return "champion"
        digest = hashlib.blake2b(f"{salt}\0{user_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        position = (int.from_bytes(digest) >> 11) / 2**53  # 53 bits are exact in a float and stay below 1
        return "challenger" if position < self.share else "champion"

    @property
    def previous(self) -> Deployed | None:
        """The champion before this one, without those that were rolled back."""
        champions: list[Deployed] = []
        for change in self.history:
            if change.act == "rollback" and champions and champions[-1] != change.champion:
                champions.pop()
            if not champions or champions[-1] != change.champion:
                champions.append(change.champion)
        return champions[-2] if len(champions) > 1 else None

    @property
    def in_use(self) -> frozenset[str]:
        """Tags of the Bentos that must stay in the store: champion, challenger and previous champion."""
        releases = (self.champion, self.challenger, self.previous)
        return frozenset(release.bento for release in releases if release is not None)


class PointerTarget(Protocol):
    """Where the servers of a shop on other machines find its pointer; the file in the state folder is a copy of it."""

    def read(self) -> Pointer | None:
        """The target's pointer, None before the first. Raises TierRecError when the target does not answer."""
        ...

    def write(self, pointer: Pointer) -> None:
        """Replace the pointer that was read last. If it has changed, raises PointerConflictError and writes nothing."""
        ...


def copy_pointer(path: Path, target: PointerTarget | None) -> None:
    """Make the file a copy of the target's pointer, as after a change by another machine; keep it if there is none."""
    if target is not None:
        with exclusive(path):
            _read_current(path, target)


def revision_at(path: Path, moment: datetime) -> int:
    """The pointer's revision at a moment, 0 without a file. Raises SettingsError when the file is invalid.

    A change dated after now, by a clock that was set back since, counts as an earlier one.
    """
    pointer, now = Pointer.read(path) if path.exists() else None, datetime.now(UTC)
    later = [change.revision for change in pointer.history if moment < change.at <= now] if pointer else []
    return min(later) - 1 if later else pointer.revision if pointer else 0


def deploy(
    path: Path, report: SmokeReport, share: float, *, seen: int | None = None, target: PointerTarget | None = None
) -> Pointer:
    """Make a Bento the challenger for a share of the users, or the champion if there is none.

    It replaces another challenger; the same one gets the new share.
    seen: the revision on which this was decided (0: no pointer, None: any)
    target: has the pointer of which the file is a copy; None: the file itself is the pointer
    Raises GateError unless the Bento passed its smoke test, SettingsError when it is the champion already,
    PointerConflictError when the pointer has another revision than `seen`.
    """
    report.require_passed()
    release = Deployed(bento=report.tag, model=report.model)
    with exclusive(path):
        pointer = _read_unchanged(path, "deploy", seen, target)
        if pointer is None:
            return _write_change(path, target, None, "deploy", release)
        if pointer.champion.bento == release.bento:
            raise SettingsError(f"deploy: {release.bento} is the champion already; wanted another Bento")
        return _write_change(path, target, pointer, "deploy", pointer.champion, release, share)


def promote(path: Path, *, seen: int | None = None, target: PointerTarget | None = None) -> Pointer:
    """Make the challenger the champion. Raises SettingsError when there is no challenger. Arguments as for `deploy`."""
    with exclusive(path):
        pointer = _read_unchanged(path, "promote", seen, target)
        if pointer is None or pointer.challenger is None:
            raise SettingsError(f"promote: {path} names no challenger; run `tierrec deploy TAG` first")
        return _write_change(path, target, pointer, "promote", pointer.challenger)


def rollback(
    path: Path, stored: Collection[str] | None = None, *, seen: int | None = None, target: PointerTarget | None = None
) -> Pointer:
    """Remove the challenger or, without one, restore the previous champion.

    stored: tags in the store (None: not checked); seen, target: as for `deploy`
    Raises SettingsError when there is no previous champion, ArtifactError when it is not in the store,
    PointerConflictError as `deploy` does.
    """
    with exclusive(path):
        pointer = _read_unchanged(path, "rollback", seen, target)
        if pointer is not None and pointer.challenger is not None:
            return _write_change(path, target, pointer, "rollback", pointer.champion)
        previous = None if pointer is None else pointer.previous
        if previous is None:
            raise SettingsError(f"rollback: {path} has no previous champion; deploy a Bento instead")
        if stored is not None and previous.bento not in stored:
            raise ArtifactError(
                f"rollback: the previous champion {previous.bento} is not in the store; "
                f"wanted one of {', '.join(sorted(stored)) or 'none'}; deploy one of these"
            )
        return _write_change(path, target, pointer, "rollback", previous)


def _read_current(path: Path, target: PointerTarget | None) -> Pointer | None:
    """The pointer, None without one; the caller holds the file's lock. The file becomes a copy of the target's."""
    pointer = None if target is None else target.read()
    if pointer is None:
        return Pointer.read(path) if path.exists() else None
    with contextlib.suppress(TierRecError):  # a damaged copy is replaced
        if path.exists() and Pointer.read(path) == pointer:
            return pointer
    artifacts.write_json(pointer.model_dump(mode="json"), path)
    return pointer


def _read_unchanged(
    path: Path, action: PointerAction, seen: int | None, target: PointerTarget | None
) -> Pointer | None:
    """As `_read_current`. Raises PointerConflictError if the pointer has another revision than `seen`."""
    pointer = _read_current(path, target)
    revision = 0 if pointer is None else pointer.revision
    if seen is None or seen == revision:
        return pointer
    changes = [change for change in pointer.history if change.revision > seen] if pointer else []
    raise PointerConflictError(
        f"{action}: {path} has changed meanwhile, from revision {seen} to {revision}: "
        f"{'; '.join(map(_describe, changes)) or 'it was replaced'}; nothing was done: "
        "see `tierrec releases`, and repeat the command if it is still wanted"
    )


def _describe(change: PointerChange) -> str:
    challenger = f", challenger {change.challenger.bento}" if change.challenger else ""
    return f"{change.act} at {change.at:%Y-%m-%d %H:%M:%S} UTC made {change.champion.bento} the champion{challenger}"


def _write_change(
    path: Path,
    target: PointerTarget | None,
    before: Pointer | None,
    action: PointerAction,
    champion: Deployed,
    challenger: Deployed | None = None,
    share: float = 0.0,
) -> Pointer:
    """Write the pointer after a change, to the target first; the caller holds the file's lock."""
    at = datetime.now(UTC)
    revision, history = (1, ()) if before is None else (before.revision + 1, before.history)
    state = {"champion": champion, "challenger": challenger, "share": share, "revision": revision}
    changes = (*history, state | {"act": action, "at": at})
    pointer = _trim_history(parse(Pointer, state | {"changed": at, "history": changes}, action))
    if target is not None:
        _write_target(target, pointer)
    artifacts.write_json(pointer.model_dump(mode="json"), path)
    return pointer


def _write_target(target: PointerTarget, pointer: Pointer) -> None:
    """Write the pointer. A client that repeats a write, since its answer was lost, conflicts with its own change."""
    try:
        target.write(pointer)
    except PointerConflictError:
        if target.read() != pointer:
            raise


def _trim_history(pointer: Pointer) -> Pointer:
    """Drop the oldest change that left the champion as it was, since `previous` needs the other changes."""
    history = pointer.history
    if len(history) <= _MAX_HISTORY:
        return pointer
    same_champion = (row for row in range(1, _MAX_HISTORY) if history[row].champion == history[row - 1].champion)
    dropped = next(same_champion, 0)
    return pointer.model_copy(update={"history": history[:dropped] + history[dropped + 1 :]})
