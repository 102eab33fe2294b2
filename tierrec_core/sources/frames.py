"""The four frames that every source returns."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import pandas as pd

from tierrec_core.base.contracts import EVENTS, EXPOSURES, GUEST, ITEMS, USERS
from tierrec_core.base.ids import normal_id
from tierrec_core.sources.input_files.forgotten import ForgottenUsers


def name_guests(user_ids: pd.Series, guests: Collection[str]) -> pd.Series:
    """The ids, with GUEST in place of those of guests; "" among these is a missing id."""
    return user_ids.mask(user_ids.fillna("").isin(list(map(normal_id, guests))), GUEST)


def event_of_file(path: Path, file_events: Mapping[str, str], default_event: str) -> str:
    """The event of the rows of a file without a column of events. file_events: see FilesSource"""
    return next((event for pattern, event in file_events.items() if path.match(pattern)), default_event)


@dataclass(frozen=True)
class SourceFrames:
    """A source's EVENTS, ordered by time and all other columns, ITEMS, USERS and EXPOSURES; missing ones are empty."""

    events: pd.DataFrame
    items: pd.DataFrame
    users: pd.DataFrame
    exposures: pd.DataFrame
    num_forgotten: int = 0  # rows of forgotten users, which are left out

    @classmethod
    def of(
        cls,
        events: pd.DataFrame,
        items: pd.DataFrame,
        users: pd.DataFrame | None = None,
        exposures: pd.DataFrame | None = None,
        *,
        where: str,
    ) -> Self:
        """Conform and order the frames. Raises MissingColumnError, naming `where`."""
        users = pd.DataFrame({"user_id": []}) if users is None else users
        exposures = pd.DataFrame({name: [] for name in EXPOSURES.columns}) if exposures is None else exposures
        order = ["timestamp", *(name for name in EVENTS.columns if name != "timestamp")]
        return cls(
            EVENTS.conform(events, where).sort_values(order, ignore_index=True),
            ITEMS.conform(items, where).sort_values("item_id", ignore_index=True, kind="stable"),
            USERS.conform(users, where).sort_values("user_id", ignore_index=True, kind="stable"),
            EXPOSURES.conform(exposures, where).sort_values(["item_id", "week"], ignore_index=True),
        )

    def without_forgotten(self, forgotten: ForgottenUsers) -> Self:
        """The frames without the rows of forgotten users, which are counted."""
        if not forgotten.hashes:
            return self
        is_forgotten = [forgotten.of(frame["user_id"]) for frame in (self.events, self.users)]
        events, users = (
            frame[~rows].reset_index(drop=True)
            for frame, rows in zip((self.events, self.users), is_forgotten, strict=True)
        )
        return replace(self, events=events, users=users, num_forgotten=sum(int(rows.sum()) for rows in is_forgotten))
