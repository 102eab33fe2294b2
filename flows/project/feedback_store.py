"""Opens the feedback store of a shop."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from services.shared_files import serving_folder
from services.store import Store
from tierrec_core.base.paths import Layout

FILE, URL_VARIABLE = "feedback.db", "TIERREC_STORE"


@contextlib.contextmanager
def open_store(layout: Layout, folder: Path | None = None, url: str | None = None) -> Iterator[Store]:
    """The store at a URL, else that of the given state folder, else that of TIERREC_STORE or the shop's folder.

    Raises StoreError when it does not answer.
    """
    state, store_url = serving_folder(layout, folder), _url(folder, url)
    # A URL from the command line may be another shop's, whose writes must not change this shop's counter.
    store = Store.open(store_url or f"sqlite:///{(state / FILE).resolve()}", None if url else state)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def existing_store(layout: Layout) -> Iterator[Store | None]:
    """The store of the shop; None before the service has stored anything."""
    if not has_store(layout):
        yield None
        return
    with open_store(layout) as store:
        yield store


def has_store(layout: Layout, folder: Path | None = None, url: str | None = None) -> bool:
    """Whether the shop's store exists; a database server is assumed to."""
    return bool(_url(folder, url)) or (serving_folder(layout, folder) / FILE).exists()


def _url(folder: Path | None, url: str | None) -> str:
    return url or ("" if folder else os.environ.get(URL_VARIABLE, ""))
