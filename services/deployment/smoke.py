"""Smoke test of a Bento: users must get the lists that its bundle has for them. Only one that passes is deployed."""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

import httpx
import numpy as np

from services.deployment.bento_store import bundle_of, list_bentos
from services.deployment.build import ensure_bento
from services.deployment.server import running_server
from services.releases.manifest import SmokeCount, SmokeReport
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.base.memmap import map_arrays
from tierrec_core.base.paths import Layout
from tierrec_core.bundle.bundle import read_header
from tierrec_core.bundle.precomputed import FOLDER
from tierrec_core.bundle.user_tables import RankedLists, UserIndex
from tierrec_core.settings import Settings

_MAX_EXAMPLES = 3
_MAX_K = 100
_TIMEOUT = 30  # seconds

Lists = Mapping[str, list[str]]  # item ids by user


def smoke_test(layout: Layout, settings: Settings, tag: str, model: str, labels: Mapping[str, str]) -> SmokeReport:
    """Start the Bento, request lists of every task, and compare them with those of its bundle.

    Raises GateError, with examples, unless all are identical.
    """
    k, bundle = min(settings.evaluate.list_length, _MAX_K), bundle_of(layout, model)
    expected = {task: sample_lists(bundle, task, settings.package.smoke_users) for task in read_header(bundle)[1]}
    with running_server(layout.bento_home, tag, quiet=True) as server, httpx.Client(base_url=server.url) as client:
        served = {task: {user: _request(client, task, user, k) for user in lists} for task, lists in expected.items()}
    for task, lists in expected.items():
        require_equal(task, served[task], {user: items[:k] for user, items in lists.items()})
    counts = {task: SmokeCount(users=len(lists), identical=len(lists)) for task, lists in expected.items()}
    return SmokeReport(tag=tag, model=model, labels=dict(labels), smoke=counts)


def admit(layout: Layout, settings: Settings, tag: str | None = None) -> SmokeReport:
    """The smoke test's report on a Bento: the stored report of the packaged one; any other is tested now.

    tag: None = the packaged Bento. Raises ArtifactError when there is no such Bento, GateError when it serves other
    lists than those of its bundle.
    """
    packaged = SmokeReport.read(layout.bento) if tag is None or layout.bento.exists() else None
    bentos = {bento.tag: bento for bento in list_bentos(layout)}
    if packaged is not None and tag in (None, packaged.tag):
        packaged.require_passed()
        if packaged.tag not in bentos:
            ensure_bento(layout, settings)
        return packaged
    if tag not in bentos:
        raise ArtifactError(
            f"deploy: {tag} is not in the store, wanted one of {', '.join(bentos) or 'none'}; see `tierrec releases`"
        )
    return smoke_test(layout, settings, bentos[tag].tag, bentos[tag].model, bentos[tag].labels)


def sample_lists(bundle: Path, task: str, num_users: int) -> dict[str, list[str]]:
    """A bundle's lists of num_users users, evenly spaced over all. Raises ArtifactError when there are none."""
    folder = bundle / FOLDER
    users, lists = map_arrays(UserIndex, folder / "users"), map_arrays(RankedLists, folder / "ranked_lists" / task)
    items = artifacts.read_frame(bundle / "items.parquet", ITEMS)["item_id"]
    rows = np.flatnonzero((lists.items >= 0).any(axis=1))
    if not len(rows):
        raise ArtifactError(f"{bundle}: has no {task} list to compare with; run `tierrec run`")
    chosen = np.unique(np.linspace(0, len(rows) - 1, num_users).round().astype(int))
    return {users.user_id(row): items.iloc[lists.row(row)[0]].tolist() for row in rows[chosen]}


def require_equal(task: str, served: Lists, expected: Lists) -> None:
    """Raise GateError with the number of lists that differ, and the first differing ranks."""
    differing = [user for user in expected if served[user] != expected[user]]
    examples = []
    for user in differing[:_MAX_EXAMPLES]:
        got, wanted = served[user], expected[user]
        at = next(row for row, (item, other) in enumerate(zip_longest(got, wanted)) if item != other)
        examples.append(f"user {user!r} rank {at + 1}: served {got[at:][:1]}, wanted {wanted[at:][:1]}")
    if differing:
        raise GateError(
            f"package: {task}: {len(differing)} of {len(expected)} served lists are not those of the bundle; "
            "run package again\n" + "; ".join(examples)
        )


def _request(client: httpx.Client, task: str, user: str, k: int) -> list[str]:
    answer = client.post("/recommend", json={"user_id": user, "task": task, "k": k}, timeout=_TIMEOUT)
    if answer.status_code != httpx.codes.OK:
        raise GateError(f"package: user {user!r} got status {answer.status_code}, wanted 200: {answer.text[:200]}")
    return [item["item_id"] for item in answer.json()["items"]]
