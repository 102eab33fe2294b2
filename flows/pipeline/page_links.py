"""Publishes a page of the project as an artifact of Prefect that opens from any machine."""

import os
import platform
from pathlib import Path
from urllib.parse import quote

from prefect.artifacts import create_link_artifact, create_markdown_artifact

from tierrec_core.base.paths import Layout

PAGES_VARIABLE = "TIERREC_PAGES_URL"  # of a web server for the project's folder data


def publish_page(layout: Layout, key: str, page: Path) -> None:
    """Link to a page below data/ where TIERREC_PAGES_URL is set; without it, say on which machine the file lies."""
    base = os.environ.get(PAGES_VARIABLE)
    if base:
        path = page.resolve().relative_to(layout.data.resolve()).as_posix()
        create_link_artifact(key=key, link=f"{base.rstrip('/')}/{quote(path)}")
        return
    where = f"`{page.resolve()}` on `{platform.node()}`"
    create_markdown_artifact(key=key, markdown=f"{where}. For a link, serve the pages and set {PAGES_VARIABLE}.")
