"""Human review: what nobody may see, and what nobody may see until a person has approved it."""

from collections.abc import Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Self

import pandas as pd
from ruamel.yaml import YAML

from services.catalogue.catalogue import Catalogue
from services.rules.plan import ActiveWhen
from services.rules.settings import Condition, Id
from services.shared_files import exclusive
from services.yaml_file import mapping_of, text_of
from tierrec_core.base.artifacts import replacing_file
from tierrec_core.base.contracts import BoolArray
from tierrec_core.settings import Params, parse


class ItemApproval(Params):
    """Items that match required_for are hidden until their id is among the approved; None = no item needs it."""

    required_for: Condition | None = None
    approved: tuple[Id, ...] = ()


class Review(Params):
    """review.yaml: items and whole categories that are blocked, and items that wait for approval."""

    blocked: tuple[Id, ...] = ()
    blocked_categories: tuple[str, ...] = ()
    approval: ItemApproval = ItemApproval()

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Read a YAML text. Raises SettingsError that begins with `where` and names the key."""
        return parse(cls, mapping_of(text, where), where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; without one everything may be shown. Errors as for `parse`."""
        return cls.parse(text_of(path), str(path))

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError where required_for reads what the catalogue does not have."""
        if self.approval.required_for is not None:
            self.approval.required_for.check(catalogue)

    def allowed(self, catalogue: Catalogue) -> BoolArray | None:
        """Which items may be shown, [I], read-only; None = all of them. It is applied last."""
        return catalogue.mask(self._verdict) if self._verdict else None

    @cached_property
    def _verdict(self) -> "_Verdict | None":
        hides = self.blocked or self.blocked_categories or self.approval.required_for
        return _Verdict(self) if hides else None


class _Verdict:
    """A review as a condition on items. Two are never equal: to compare long lists would take longer than a mask."""

    def __init__(self, review: Review) -> None:
        approval = review.approval
        self._blocked, self._categories = list(review.blocked), list(review.blocked_categories)
        self._required = ActiveWhen((approval.required_for,)) if approval.required_for else None
        self._approved = list(approval.approved)

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Which rows may be shown, [N]."""
        hidden = frame["item_id"].isin(self._blocked) | frame["category"].isin(self._categories)
        shown: BoolArray = ~hidden.to_numpy(bool)
        if self._required is not None:
            approved = frame["item_id"].isin(self._approved).to_numpy(bool)
            shown &= approved | ~self._required.matches(frame)
        return shown


def block(path: Path, item_ids: Sequence[str]) -> Review:
    """Hide these items from everybody; the new review. Raises SettingsError for a file or an id that is not valid."""
    return _edited(path, "blocked", item_ids, add=True)


def unblock(path: Path, item_ids: Sequence[str]) -> Review:
    """Take items from the block list; errors as for `block`."""
    return _edited(path, "blocked", item_ids, add=False)


def approve(path: Path, item_ids: Sequence[str]) -> Review:
    """Let these items be shown although they need approval; errors as for `block`."""
    return _edited(path, "approval.approved", item_ids, add=True)


def withdraw(path: Path, item_ids: Sequence[str]) -> Review:
    """Take an approval back; errors as for `block`."""
    return _edited(path, "approval.approved", item_ids, add=False)


def _edited(path: Path, place: str, item_ids: Sequence[str], *, add: bool) -> Review:
    """Change one list of the file in one step, and nothing else in it: comments stay."""
    given = parse(Review, {"blocked": tuple(item_ids)}, str(path)).blocked
    yaml = YAML()
    with exclusive(path):
        text = text_of(path)
        Review.parse(text, str(path))
        whole = yaml.load(text) or {}
        *outer, name = place.split(".")
        block = whole
        for key in outer:
            block = block.setdefault(key, {})
        listed = block.setdefault(name, [])
        for item_id in dict.fromkeys(given):
            if add and item_id not in listed:
                listed.append(item_id)
            elif not add and item_id in listed:
                listed.remove(item_id)
        written = StringIO()
        yaml.dump(whole, written)
        review = Review.parse(written.getvalue(), str(path))
        with replacing_file(path) as fresh:
            fresh.write_text(written.getvalue(), encoding="utf-8")
    return review
