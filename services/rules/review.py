"""Human review: blocked items, and items that are hidden until they are approved."""

from collections.abc import Sequence
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Literal

import pandas as pd
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from services.catalogue.catalogue import Catalogue
from services.rules.plan import ActiveWhen
from services.rules.settings import Condition, Id
from services.shared_files import YamlFile, exclusive, read_text
from tierrec_core.base.artifacts import replacing_file
from tierrec_core.base.contracts import BoolArray
from tierrec_core.settings import Params, parse

ReviewEdit = Literal["block", "unblock", "approve", "withdraw"]


class ItemApproval(Params):
    """Items that match required_for are hidden until they are approved; None = no item needs approval."""

    required_for: Condition | None = None
    approved: tuple[Id, ...] = ()


class Review(YamlFile):
    """review.yaml: blocked items, blocked categories, and items that need approval."""

    blocked: tuple[Id, ...] = ()
    blocked_categories: tuple[str, ...] = ()
    approval: ItemApproval = ItemApproval()

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError if required_for refers to a column that the catalogue lacks."""
        if self.approval.required_for is not None:
            self.approval.required_for.check(catalogue)

    @property
    def named_items(self) -> tuple[str, ...]:
        """The items that are blocked or approved by their ids."""
        return (*self.blocked, *self.approval.approved)

    def allowed(self, catalogue: Catalogue) -> BoolArray | None:
        """The allowed items, [I], read-only; None = all items."""
        return catalogue.mask(self._condition) if self._condition else None

    @cached_property
    def _condition(self) -> "_ReviewCondition | None":
        has_content = self.blocked or self.blocked_categories or self.approval.required_for
        return _ReviewCondition(self) if has_content else None


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


def edit_review(path: Path, edit: ReviewEdit, item_ids: Sequence[str]) -> Review:
    """Add items to a list of the file or remove them, atomically, and return the new review.

    The rest of the file and its comments are kept. Raises SettingsError for an invalid file or id.
    """
    edited_ids = parse(Review, {"blocked": tuple(item_ids)}, str(path)).blocked
    yaml = YAML()
    yaml.preserve_quotes = True
    with exclusive(path):
        text = read_text(path)
        Review.parse(text, str(path))
        document = yaml.load(text) or {}
        mapping, key = document, "blocked"
        if edit in ("approve", "withdraw"):
            mapping, key = document.setdefault("approval", {}), "approved"
        listed = mapping.setdefault(key, [])
        adds = edit in ("block", "approve")
        for item_id in dict.fromkeys(edited_ids):
            if adds and item_id not in listed:
                # A plain scalar would turn a line separator such as U+0085 into a space.
                listed.append(item_id if item_id.isprintable() else DoubleQuotedScalarString(item_id))
            elif not adds and item_id in listed:
                listed.remove(item_id)
        edited = StringIO()
        yaml.dump(document, edited)
        review = Review.parse(edited.getvalue(), str(path))
        with replacing_file(path) as fresh:
            fresh.write_text(edited.getvalue(), encoding="utf-8")
    return review
