"""Everything that ranks items for a request, as one artefact: models, rankers, policy, catalogue and histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, FloatArray, IntArray
from tierrec_core.base.errors import ArtifactError
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender
from tierrec_core.ranking import BlendRanker, Candidates, retrieve, score_candidates
from tierrec_core.ranking.policy import Audience, ListPolicy
from tierrec_core.settings import Params, RetrieveSettings
from tierrec_core.tiers import Tiering

EVALUATED = "evaluated"  # in a packaged bundle's folder: the bundle of the same settings without the test's events


class TaskConfig(Params):
    """Options of one task: whether seen items may be recommended again, and candidate retrieval."""

    repeats: bool
    retrieve: RetrieveSettings


@dataclass(frozen=True)
class KnownUsers:
    """Histories of all known users as of the final snapshot, the list policy, and the target events."""

    history: Interactions
    policy: ListPolicy
    target: tuple[str, ...] = ("purchase",)


@dataclass(frozen=True)
class Bundle:
    """Ranks items for any history; batch, evaluation and service share this code.

    kinds: each model's kind, by the model's name; task_configs: each task's config, by the task's name
    items: the ITEMS frame, row i describes column i, [I]
    """

    kinds: Mapping[str, str]
    models: Mapping[str, Recommender]
    blends: Mapping[str, BlendRanker]
    task_configs: Mapping[str, TaskConfig]
    known: KnownUsers
    items: pd.DataFrame

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks it ranks for."""
        return tuple(self.task_configs)

    @property
    def history(self) -> Interactions:
        """All known users' histories, [U]."""
        return self.known.history

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the events that the models predict."""
        return self.known.target

    @property
    def tiering(self) -> Tiering:
        """Tiers and interest layers as of the final snapshot."""
        return next(iter(self.blends.values())).context.tiering

    def history_of(self, user_id: str) -> Interactions | None:
        """One known user's history; None for an unknown user."""
        row = self.history.users.get_indexer(pd.Index([user_id]))
        return self.history.select_users(row) if row[0] >= 0 else None

    def visitor(self, item_ids: Sequence[str], events: str | Sequence[str] = "purchase") -> Interactions:
        """The history of an unknown user with these events on these items, oldest first; unknown items are dropped."""
        return Interactions.from_history(item_ids, self.history.items, self.history.now, events)

    def candidates(self, task: str, history: Interactions) -> Candidates:
        """The task's candidates for each history [U], with every model's score."""
        config = self.task_configs[task]
        return retrieve(self.models, history, config.retrieve, repeats=config.repeats)

    def recommend(self, task: str, history: Interactions, k: int) -> TopK:
        """Retrieve, rank and apply the policy: the first k items of each history, [U, k]."""
        return self.rank(task, history, self.candidates(task, history), k)

    def rank(self, task: str, history: Interactions, candidates: Candidates, k: int) -> TopK:
        """Rank the given candidates and apply the policy, [U, k]."""
        blend, policy = self.blends[task], self.known.policy
        tiering = blend.context.tiering
        tier = tiering.assign(history)
        scores = policy.adjust(blend.score(history, candidates), candidates.user, candidates.item, tier)
        ranked = candidates.best(scores, history.num_users, policy.depth(k))
        return policy.apply(ranked, k, Audience(history, tier, tiering))

    def rerank(
        self, task: str, history: Interactions, columns: IntArray, states: Mapping[str, FloatArray] | None = None
    ) -> FloatArray:
        """Score the given item columns [C] for a history of one user, after the policy, [C].

        Columns are distinct, in any order; -1 is padding and scores -inf, as do blocked items. Rank features of the
        blend are computed among these items only. states: UserStates.row of this history, if it is stored.
        """
        order = np.argsort(columns, kind="stable")
        order = order[columns[order] >= 0]
        item, user = columns[order].astype(np.int32), np.zeros(len(order), np.int32)
        model_scores = score_candidates(self.models, history, item[None], states)
        candidates = Candidates(user, item, {name: score[0] for name, score in model_scores.items()})
        blend = self.blends[task]
        table = blend.context.table(history, candidates)
        tier = table["tier"][:1].astype(np.int64)
        scores = np.full(len(columns), -np.inf)
        scores[order] = self.known.policy.adjust(blend.score_table(table, threads=1), user, item, tier)
        return scores

    def explain(self, task: str, history: Interactions, columns: IntArray) -> list[dict[str, float]]:
        """Each feature's contribution to the score of each item column [C], for a history of one user.

        Items that are not candidates of this user get an empty explanation.
        """
        candidates = self.candidates(task, history)
        requested = np.isin(candidates.item, columns)
        contributions = self.blends[task].contributions(history, candidates, requested).to_dict("records")
        by_item = dict(zip(candidates.item[requested].tolist(), contributions, strict=True))
        return [by_item.get(int(column), {}) for column in columns]

    def save(self, folder: Path) -> None:
        """Write everything to the folder in one step; the same bundle gives the same bytes."""
        with artifacts.replacing_folder(folder) as fresh:
            for name, model in self.models.items():
                artifacts.save(model, fresh / "models" / name)
            for task, blend in self.blends.items():
                artifacts.save(blend, fresh / "blends" / task)
            artifacts.save(self.known, fresh / "known_users")
            artifacts.write_frame(self.items, fresh / "items.parquet")
            tasks = {task: config.model_dump(mode="json") for task, config in self.task_configs.items()}
            artifacts.write_json({"kinds": dict(self.kinds), "tasks": tasks}, fresh / "bundle.json")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises ArtifactError when a part is missing or damaged."""
        kinds, task_configs = read_header(folder)
        return cls(
            kinds=kinds,
            models={
                name: artifacts.load(registry.kind(kind), folder / "models" / name) for name, kind in kinds.items()
            },
            blends={task: artifacts.load(BlendRanker, folder / "blends" / task) for task in task_configs},
            task_configs=task_configs,
            known=artifacts.load(KnownUsers, folder / "known_users"),
            items=artifacts.read_frame(folder / "items.parquet", ITEMS),
        )


def load_evaluated(folder: Path) -> Bundle:
    """The evaluated bundle of a packaged one; that itself if it was packaged by version 0.1, which served it."""
    evaluated = folder / EVALUATED
    return Bundle.load(evaluated if evaluated.exists() else folder)


def read_header(folder: Path) -> tuple[Mapping[str, str], Mapping[str, TaskConfig]]:
    """Kinds by model and configs by task of a saved bundle, without its models. Raises ArtifactError."""
    header = artifacts.read_json(folder / "bundle.json")
    try:
        configs = {task: TaskConfig.model_validate(config) for task, config in header["tasks"].items()}
        return header["kinds"], configs
    except (TypeError, KeyError) as error:
        raise ArtifactError(
            f"{folder / 'bundle.json'}: lacks {error}; it is damaged or of another version, run the package stage again"
        ) from error
