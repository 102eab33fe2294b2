"""Servers under load: the packaged Bento, and the baseline service with the same settings."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import pandas as pd
import psutil

from benchmarks.serving.harness.load import HOST
from benchmarks.serving.process_tree import ProcessTree
from services.deployment.build import bento_environment
from services.deployment.server import Server, free_port, running_server
from services.releases.manifest import SmokeReport
from tierrec_core.base import memmap
from tierrec_core.base.contracts import ITEMS
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.bundle import precomputed
from tierrec_core.bundle.user_tables import UserIndex

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Bench:
    """The measured project with its packaged Bento, and the ids of the users and items that it knows."""

    layout: Layout
    report: SmokeReport
    users: tuple[str, ...]
    items: tuple[str, ...]

    @classmethod
    def read(cls, layout: Layout) -> Self:
        """Read a packaged project. Raises ArtifactError when nothing is packaged."""
        report = SmokeReport.read(layout.bento)
        folder = layout.bundle / precomputed.FOLDER
        if not folder.exists():
            raise ArtifactError(f"{folder}: is missing, wanted a packaged bundle; run `tierrec run`")
        index = memmap.map_arrays(UserIndex, folder / "users")
        users = tuple(index.text[first:last].tobytes().decode() for first, last in pairwise(index.offsets))
        items = ITEMS.conform(pd.read_parquet(layout.bundle / "items.parquet"), "items.parquet")
        return cls(layout, report, users, tuple(items["item_id"].astype(str)))

    @contextlib.contextmanager
    def serving(self, workers: int = 1, folder: Path | None = None, home: Path | None = None) -> Iterator[Server]:
        """Serve the Bento, ready and idle; home: another BentoML home that has it."""
        where = home or self.layout.bento_home
        with running_server(where, self.report.tag, folder=folder, workers=workers, quiet=True) as server:
            ProcessTree(server.process).settle()
            yield server


@contextlib.contextmanager
def bare() -> Iterator[Server]:
    """Serve the baseline, ready and idle."""
    with tempfile.TemporaryDirectory(prefix="tierrec-bare-") as name:
        folder, port = Path(name), free_port()
        shutil.copy(Path(__file__).with_name("bare.py"), folder)
        log = folder / "server.log"
        with log.open("w") as sink:
            process = psutil.Popen(
                [sys.executable, "-m", "bentoml", "serve", "bare:Bare", "--host", HOST, "--port", str(port)],
                cwd=folder,
                env=bento_environment(folder / "home") | ONE_THREAD,
                stdout=sink,
                stderr=subprocess.STDOUT,
            )
        server = Server("bare", f"http://{HOST}:{port}", process, log)
        try:
            server.wait_ready()
            ProcessTree(server.process).settle()
            yield server
        finally:
            server.stop()


def port_of(server: Server) -> int:
    """The port of a server."""
    return urlsplit(server.url).port or 80
