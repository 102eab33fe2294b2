"""Erases a user from the store, its exports and deliveries, and from every later run by the list of the forgotten."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.privacy.delivered_rows import forget_in_deliveries
from flows.privacy.traces import find_traces
from flows.project.champion import pointer_path
from flows.project.feedback_store import has_store, open_store
from flows.project.lock import project_lock
from services.observability.access_log import log_secret, pseudonym
from services.shared_files import serving_folder
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import GUEST
from tierrec_core.base.errors import DataError
from tierrec_core.base.ids import normal_id, text_ids
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources.input_files.forgotten import ForgottenUsers, add_forgotten_user

_PURGE_SECONDS = 5.0


def forget_user(layout: Layout, settings: Settings, user_id: str) -> Iterator[str]:
    """Erase the user; yields a line on each step. Each step may be repeated, so that a killed call is called again.

    The list comes first: whatever is interrupted, the next ingest leaves the user out.
    user_id: in its plain form
    Raises DataError for guests and for a user of whom nothing is found, StoreError when the store does not answer.
    """
    if user_id in {GUEST, *map(normal_id, settings.source.guests)}:
        raise DataError(f"forget: {user_id!r} stands for many people (source.guests); wanted the id of one user")
    with project_lock(layout.root, "forget"):
        if user_id not in ForgottenUsers.read(layout) and not find_traces(layout, settings, user_id).is_known:
            raise DataError(
                f"forget: user {user_id!r} is nowhere in {layout.root}, and nothing was changed; check the id, which "
                "must be written as in the log"
            )
        add_forgotten_user(layout, user_id)
        yield f"{layout.forgotten_list}: ingest leaves the user out from now on"
        if has_store(layout) or pointer_path(layout).exists():  # a service that starts later must know, too
            yield _erase_from_store(layout, user_id)
        for path in _exports(layout):
            if num_rows := _erase_from_export(path, user_id):
                yield f"{path}: {num_rows:,} rows erased"
        yield from forget_in_deliveries(layout, settings.source, user_id)


def _erase_from_store(layout: Layout, user_id: str) -> str:
    with open_store(layout) as store:
        erased = store.erase_user(user_id, pseudonym(user_id, log_secret(serving_folder(layout))))
        is_done = store.purge_erased(_PURGE_SECONDS)
        url = store.database.engine.url.render_as_string(hide_password=True)
    rest = "" if is_done else "; copies in its files go once its readers have ended: `--verify` tells"
    return (
        f"{url}: {erased.events:,} events, {erased.impressions:,} impressions and {erased.users:,} users erased{rest}"
    )


def _exports(layout: Layout) -> list[Path]:
    """The exports of the store: those that ingest reads, and their copies in the backups of retrains."""
    names = ("events.parquet", "users.parquet")
    backups = (layout.loop / "retrains").glob(f"*-before/{layout.feedback.relative_to(layout.root)}")
    return [
        folder / name for folder in (layout.feedback, *sorted(backups)) for name in names if (folder / name).exists()
    ]


def _erase_from_export(path: Path, user_id: str) -> int:
    """Rewrite the file without the user's rows; returns their number. Other rows stay as they are."""
    table = pq.read_table(path)
    is_user = text_ids(table["user_id"].to_pandas()).eq(user_id).fillna(False).astype(bool)
    if is_user.any():
        with artifacts.replacing_file(path) as fresh:
            pq.write_table(table.filter(pc.invert(is_user.to_numpy())), fresh, compression="zstd")
    return int(is_user.sum())
