"""Copies pointer and releases from object storage: python -m services.targets.follow s3://BUCKET/PREFIX FOLDER.

FOLDER is the server's state folder and Bento store: it gets pointer.json after the bentos/ and models/ that it names.
"""

import logging
import signal
import sys
import threading
from pathlib import Path

from services.releases.pointer import FILE, Pointer
from services.targets.object_storage import ObjectStorageTarget
from services.targets.release_files import needed_releases
from tierrec_core.base import artifacts
from tierrec_core.base.errors import TierRecError

log = logging.getLogger(__name__)
_SECONDS = 5.0


def fetch_once(target: ObjectStorageTarget, folder: Path) -> bool:
    """Fetch what the pointer names, then write the pointer; returns whether it has changed. Raises TierRecError."""
    pointer, path = target.read(), folder / FILE
    if pointer is None or (path.exists() and _read_or_none(path) == pointer):
        return False
    for release in needed_releases(pointer):
        target.fetch(release)
    artifacts.write_json(pointer.model_dump(mode="json"), path)
    return True


def follow(url: str, folder: Path, stopped: threading.Event, seconds: float = _SECONDS) -> None:
    """Fetch every `seconds` until `stopped`; a failure is logged and tried again, and the old releases serve on."""
    target = ObjectStorageTarget(url, folder)
    while not stopped.is_set():
        try:
            if fetch_once(target, folder):
                log.info("%s: pointer and releases are those of %s", folder, url)
        except TierRecError as error:
            log.error("%s", error)
        stopped.wait(seconds)


def _read_or_none(path: Path) -> Pointer | None:
    try:
        return Pointer.read(path)
    except TierRecError:
        return None


def main(url: str, folder: str) -> None:
    """Follow until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    follow(url, Path(folder), stopped)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
