"""The packaged Bento against the lists that were judged: the same users must get the same items."""

from pathlib import Path

import httpx
import numpy as np
import pandas as pd

from services.deployment.server import serving
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.base.paths import Layout
from tierrec_core.evaluation.leaderboard import BLEND
from tierrec_core.settings import Settings

_EXAMPLES = 3
_MAX_K = 100
_SECONDS = 30


def check(layout: Layout, settings: Settings, tag: str) -> dict[str, dict[str, int]]:
    """Start the Bento, ask for lists of every task, and count the users whose list is the offline one.

    Raises GateError, with examples, unless all are.
    """
    k = min(settings.evaluate.list_length, _MAX_K)
    expected = {task: read_lists(layout.lists(task, BLEND), settings.package.smoke_users) for task in settings.tasks}
    with serving(layout.bento_home, tag, quiet=True) as server, httpx.Client(base_url=server.url) as client:
        answers = {task: {user: _ask(client, task, user, k) for user in lists} for task, lists in expected.items()}
    differing = {
        task: [user for user, items in lists.items() if answers[task][user] != items[:k]]
        for task, lists in expected.items()
    }
    for task, users in differing.items():
        if users:
            raise GateError(explain(task, users, answers[task], expected[task]))
    return {task: {"users": len(lists), "identical": len(lists)} for task, lists in expected.items()}


def read_lists(path: Path, num_users: int) -> dict[str, list[str]]:
    """Lists of num_users users, spread evenly over all. Raises ArtifactError when there are none."""
    try:
        frame = pd.read_parquet(path).sort_values(["user_id", "rank"])
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read ({error}); run the evaluate stage again") from error
    if frame.empty:
        raise ArtifactError(f"{path}: has no lists to compare with; run the evaluate stage again")
    lists = frame.groupby("user_id", sort=True)["item_id"].apply(list)
    chosen = np.unique(np.linspace(0, len(lists) - 1, num_users).round().astype(int))
    return {str(user): items for user, items in lists.iloc[chosen].items()}


def explain(task: str, users: list[str], answers: dict[str, list[str]], expected: dict[str, list[str]]) -> str:
    """The message for lists that differ: how many, and where the first ones do."""
    examples = []
    for user in users[:_EXAMPLES]:
        got, wanted = answers[user], expected[user]
        place = next((at for at, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other), None)
        place = min(len(got), len(wanted)) if place is None else place
        examples.append(f"user {user!r} place {place + 1}: served {got[place:][:1]}, judged {wanted[place:][:1]}")
    return (
        f"package: {task}: {len(users)} of {len(expected)} served lists are not the judged ones; "
        "run evaluate and package again\n" + "; ".join(examples)
    )


def _ask(client: httpx.Client, task: str, user: str, k: int) -> list[str]:
    answer = client.post("/recommend", json={"user_id": user, "task": task, "k": k}, timeout=_SECONDS)
    if answer.status_code != httpx.codes.OK:
        raise GateError(f"package: user {user!r} got {answer.status_code}: {answer.text[:200]}")
    return [item["item_id"] for item in answer.json()["items"]]
