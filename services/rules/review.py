"""Human review: blocked items, and items that are hidden until they are approved."""

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
    """Items that match required_for are hidden until they are approved; None = no item needs approval."""

    required_for: Condition | None = None
    approved: tuple[Id, ...] = ()


class Review(Params):
    """review.yaml: blocked items, blocked categories, and items that need approval."""

    blocked: tuple[Id, ...] = ()
    blocked_categories: tuple[str, ...] = ()
    approval: ItemApproval = ItemApproval()

    @classmethod
    def parse(cls, text: str, where: str) -> Self:
        """Parse YAML. Raises SettingsError with the location `where` and the key."""
        return parse(cls, mapping_of(text, where), where)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file; a missing file hides nothing. Errors as for `parse`."""
        return cls.parse(text_of(path), str(path))

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError if required_for refers to a column that the catalogue lacks."""
        if self.approval.required_for is not None:
            self.approval.required_for.check(catalogue)

    def allowed(self, catalogue: Catalogue) -> BoolArray | None:
        """The allowed items, [I], read-only; None = all items."""
        return catalogue.mask(self._condition) if self._condition else None

    @cached_property
    def _condition(self) -> "_ReviewCondition | None":
        hides = self.blocked or self.blocked_categories or self.approval.required_for
        return _ReviewCondition(self) if hides else None


class _ReviewCondition:
    """A review as a condition on items. Compares by identity, since comparing long lists costs more than a mask."""

    def __init__(self, review: Review) -> None:
        approval = review.approval
        self._blocked, self._categories = list(review.blocked), list(review.blocked_categories)
        self._required = ActiveWhen((approval.required_for,)) if approval.required_for else None
        self._approved = list(approval.approved)

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """The rows that may be shown, [N]."""
        hidden = frame["item_id"].isin(self._blocked) | frame["category"].isin(self._categories)
        shown: BoolArray = ~hidden.to_numpy(bool)
        if self._required is not None:
            approved = frame["item_id"].isin(self._approved).to_numpy(bool)
            shown &= approved | ~self._required.matches(frame)
        return shown


def block(path: Path, item_ids: Sequence[str]) -> Review:
    """Hide these items, and return the new review. Raises SettingsError for an invalid file or id."""
    return _edited(path, "blocked", item_ids, add=True)


def unblock(path: Path, item_ids: Sequence[str]) -> Review:
    """Remove items from the block list; errors as for `block`."""
    return _edited(path, "blocked", item_ids, add=False)


def approve(path: Path, item_ids: Sequence[str]) -> Review:
    """Approve these items; errors as for `block`."""
    return _edited(path, "approval.approved", item_ids, add=True)


def withdraw(path: Path, item_ids: Sequence[str]) -> Review:
    """Withdraw the approval of these items; errors as for `block`."""
    return _edited(path, "approval.approved", item_ids, add=False)


def _edited(path: Path, key: str, item_ids: Sequence[str], *, add: bool) -> Review:
    """Change one list of the file atomically; the rest of it and its comments are kept."""
    given = parse(Review, {"blocked": tuple(item_ids)}, str(path)).blocked
    yaml = YAML()
    with exclusive(path):
        text = text_of(path)
        Review.parse(text, str(path))
        document = yaml.load(text) or {}
        *parents, name = key.split(".")
        mapping = document
        for parent in parents:
            mapping = mapping.setdefault(parent, {})
        listed = mapping.setdefault(name, [])
        for item_id in dict.fromkeys(given):
            if add and item_id not in listed:
                listed.append(item_id)
            elif not add and item_id in listed:
                listed.remove(item_id)
        written = StringIO()
        yaml.dump(document, written)
        review = Review.parse(written.getvalue(), str(path))
        with replacing_file(path) as fresh:
            fresh.write_text(written.getvalue(), encoding="utf-8")
    return review
