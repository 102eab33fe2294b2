"""Which Bento answers whom: a pointer file that names champion, challenger and the challenger's share of users."""

import hashlib
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal, Self

from pydantic import AwareDatetime, NonNegativeInt, PositiveInt, model_validator

from services.releases.smoke_report import SmokeReport
from services.shared_files import exclusive
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.settings import Params, Share, parse

FILE = "pointer.json"
Side = Literal["champion", "challenger"]
_HISTORY = 100


class PointerAction(StrEnum):
    """What can be done to a pointer."""

    DEPLOY = "deploy"
    PROMOTE = "promote"
    ROLLBACK = "rollback"


class Deployed(Params):
    """A Bento and its model, each by its exact tag."""

    bento: str
    model: str


class PointerChange(Params):
    """One step in a pointer's past: what was done, when (UTC), and the state that it led to."""

    revision: PositiveInt
    at: AwareDatetime
    act: PointerAction
    champion: Deployed
    challenger: Deployed | None
    share: Share


class Pointer(Params):
    """Who answers: the champion, and for a share of the users the challenger, if there is one.

    revision counts the changes; history holds the newest of them, oldest first, the present state last
    """

    champion: Deployed
    challenger: Deployed | None = None
    share: Share = 0.0
    revision: NonNegativeInt = 0
    changed: AwareDatetime
    history: tuple[PointerChange, ...] = ()

    @model_validator(mode="after")
    def _no_share_for_nobody(self) -> Self:
        if self.challenger is None and self.share:
            raise ValueError(f"share is {self.share} without a challenger; wanted 0")
        return self

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a pointer file. Raises ArtifactError when it is missing, SettingsError when it holds something else."""
        if not path.exists():
            raise ArtifactError(f"{path}: is missing, wanted a pointer to a champion; run `tierrec deploy`")
        return parse(cls, artifacts.read_json(path), str(path))

    def route(self, user_id: str, salt: str) -> Side:
        """Who answers a user: by the same salt always the same, until the share shrinks or the challenger leaves.

        A user's place in [0, 1) is a hash, and the challenger has those below the share; so a share that grows
        takes nobody from it.
        """
        if self.challenger is None:
            return "champion"
        digest = hashlib.blake2b(f"{salt}\0{user_id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
        place = (int.from_bytes(digest) >> 11) / 2**53  # 53 bits: a float holds them all, and stays below 1
        return "challenger" if place < self.share else "champion"

    @property
    def previous(self) -> Deployed | None:
        """The champion before this one. Those that a rollback took away do not count."""
        line: list[Deployed] = []
        for change in self.history:
            if change.act is PointerAction.ROLLBACK and line and line[-1] != change.champion:
                line.pop()
            if not line or line[-1] != change.champion:
                line.append(change.champion)
        return line[-2] if len(line) > 1 else None

    @property
    def in_use(self) -> frozenset[str]:
        """Tags of the Bentos that must stay in the store: those that answer, and the one to roll back to."""
        named = (self.champion, self.challenger, self.previous)
        return frozenset(one.bento for one in named if one is not None)


def deploy(path: Path, report: SmokeReport, share: float) -> Pointer:
    """Make a Bento the challenger for a share of the users, or the champion if there is none.

    A challenger that is there already is replaced; the same one gets the new share.
    Raises GateError unless the Bento passed its smoke test, SettingsError when it is the champion already.
    """
    report.require_passed()
    fresh = Deployed(bento=report.tag, model=report.model)

    def act(now: Pointer | None) -> Pointer:
        if now is None:
            return _next(None, PointerAction.DEPLOY, fresh)
        if now.champion.bento == fresh.bento:
            raise SettingsError(f"deploy: {fresh.bento} is the champion already; wanted another Bento")
        return _next(now, PointerAction.DEPLOY, now.champion, fresh, share)

    return _change(path, act)


def promote(path: Path) -> Pointer:
    """Make the challenger the champion. Raises SettingsError when there is no challenger."""

    def act(now: Pointer | None) -> Pointer:
        if now is None or now.challenger is None:
            raise SettingsError(f"promote: {path} names no challenger; run `tierrec deploy TAG` first")
        return _next(now, PointerAction.PROMOTE, now.challenger)

    return _change(path, act)


def rollback(path: Path, stored: Collection[str] | None = None) -> Pointer:
    """Take the challenger away or, where there is none, bring back the champion before this one.

    stored: tags that can be served (None: not known). Raises SettingsError when there is nothing to go back to,
    ArtifactError when it is not stored any more.
    """

    def act(now: Pointer | None) -> Pointer:
        if now is not None and now.challenger is not None:
            return _next(now, PointerAction.ROLLBACK, now.champion)
        earlier = None if now is None else now.previous
        if earlier is None:
            raise SettingsError(f"rollback: {path} knows no earlier champion; deploy the Bento that is wanted")
        if stored is not None and earlier.bento not in stored:
            raise ArtifactError(
                f"rollback: {earlier.bento} was the champion before, but the store has lost it; "
                f"wanted one of {', '.join(sorted(stored)) or 'none'}; deploy one of these"
            )
        return _next(now, PointerAction.ROLLBACK, earlier)

    return _change(path, act)


def _next(
    now: Pointer | None, act: PointerAction, champion: Deployed, challenger: Deployed | None = None, share: float = 0.0
) -> Pointer:
    """The pointer after a change, with the change at the end of its history."""
    at, revision = datetime.now(UTC), 1 if now is None else now.revision + 1
    state = {"champion": champion, "challenger": challenger, "share": share, "revision": revision}
    history = (*(() if now is None else now.history), state | {"act": act, "at": at})
    return _bounded(parse(Pointer, state | {"changed": at, "history": history}, act))


def _bounded(pointer: Pointer) -> Pointer:
    """Forget the oldest change that left the champion as it was: `previous` must outlast many small ones."""
    history = pointer.history
    if len(history) <= _HISTORY:
        return pointer
    idle = (at for at in range(1, _HISTORY) if history[at].champion == history[at - 1].champion)
    at = next(idle, 0)
    return pointer.model_copy(update={"history": history[:at] + history[at + 1 :]})


def _change(path: Path, act: Callable[[Pointer | None], Pointer]) -> Pointer:
    """Read, change and write the pointer under an exclusive lock; readers see the old or the new one."""
    with exclusive(path):
        after = act(Pointer.read(path) if path.exists() else None)
        artifacts.write_json(after.model_dump(mode="json"), path)
    return after
