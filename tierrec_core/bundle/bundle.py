"""All that answers a request, as one artefact: models, blends, policy, catalogue, known users' histories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from tierrec_core.base import artifacts
from tierrec_core.base.contracts import ITEMS, FloatArray, IntArray
from tierrec_core.base.errors import ArtifactError
from tierrec_core.data.interactions import Interactions
from tierrec_core.linalg.top_k import TopK, rank_candidates
from tierrec_core.models import registry
from tierrec_core.protocols.model import Recommender
from tierrec_core.ranking import BlendRanker, Candidates, retrieve, score_candidates
from tierrec_core.ranking.policy import Audience, ListPolicy
from tierrec_core.settings import Params, RetrieveSettings
from tierrec_core.tiers import TIER_NAMES


class TaskConfig(Params):
    """How one task answers: whether items met before may come again, and how candidates are found."""

    repeats: bool
    retrieve: RetrieveSettings


@dataclass(frozen=True)
class KnownUsers:
    """What the bundle knows of everybody: histories as of the final snapshot, policy, and what counts as success."""

    history: Interactions
    policy: ListPolicy
    target: tuple[str, ...] = ("purchase",)


@dataclass(frozen=True)
class Bundle:
    """Answers for any history; the same code for a batch, an evaluation and a live visitor.

    kinds: each model's kind, by the model's name; surfaces: each task's way to answer, by the task's name
    items: the ITEMS frame, row i describes column i, [I]
    """

    kinds: Mapping[str, str]
    models: Mapping[str, Recommender]
    blends: Mapping[str, BlendRanker]
    surfaces: Mapping[str, TaskConfig]
    known: KnownUsers
    items: pd.DataFrame

    @property
    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that it answers."""
        return tuple(self.surfaces)

    @property
    def history(self) -> Interactions:
        """All known users' histories, [U]."""
        return self.known.history

    @property
    def target(self) -> tuple[str, ...]:
        """Names of the events that the models foretell."""
        return self.known.target

    def history_of(self, user_id: str) -> Interactions | None:
        """One known user's history; None for a user whom the log does not know."""
        row = self._rows.get(user_id)
        return None if row is None else self.history.select_users(np.array([row]))

    def visitor(self, item_ids: Sequence[str], events: str | Sequence[str] = "purchase") -> Interactions:
        """A history of somebody unknown, who did this to these items in this order; unknown items are left out."""
        return Interactions.from_history(item_ids, self.history.items, self.history.now, events)

    def tier_of(self, history: Interactions) -> str:
        """The tier of a history of one user."""
        return TIER_NAMES[int(self._blend().context.tiering.assign(history)[0])]

    def candidates(self, task: str, history: Interactions) -> Candidates:
        """What the task's lists are chosen from, with every model's score."""
        surface = self.surfaces[task]
        return retrieve(self.models, history, surface.retrieve, repeats=surface.repeats)

    def recommend(self, task: str, history: Interactions, k: int) -> TopK:
        """The blend's first k of each history after the policy, [R, k]."""
        return self.rank(task, history, self.candidates(task, history), k)

    def rank(self, task: str, history: Interactions, candidates: Candidates, k: int) -> TopK:
        """As `recommend`, for candidates that are there already."""
        blend, policy = self.blends[task], self.known.policy
        tiering = blend.context.tiering
        tier = tiering.assign(history)
        scores = policy.adjust(blend.score(history, candidates), candidates.user, candidates.item, tier)
        table = candidates.padded(history.num_users)
        padded = np.full(table.shape, -np.inf)
        padded[table >= 0] = scores
        ranked = rank_candidates(padded, table, policy.depth(k))
        return policy.cap(ranked, k, Audience(history, tier, tiering))

    def rerank(
        self,
        task: str,
        history: Interactions,
        columns: IntArray,
        states: Mapping[str, FloatArray] | None = None,
    ) -> FloatArray:
        """The blend's score, after the policy, of each given item column [C] for a history of one user, [C].

        Columns are distinct, in any order; -1 is padding and scores -inf, as does what nobody may see. Ranks, which
        the blend looks at, count among these items. states: States.row of this history, where it is kept.
        """
        order = np.argsort(columns, kind="stable")
        order = order[columns[order] >= 0]
        item, user = columns[order].astype(np.int32), np.zeros(len(order), np.int32)
        given = score_candidates(self.models, history, item[None], states)
        candidates = Candidates(user, item, {name: score[0] for name, score in given.items()})
        blend = self.blends[task]
        table = blend.context.table(history, candidates)
        tier = table["tier"][:1].astype(np.int64)
        scores = np.full(len(columns), -np.inf)
        scores[order] = self.known.policy.adjust(blend.score_table(table, threads=1), user, item, tier)
        return scores

    def explain(self, task: str, history: Interactions, columns: IntArray) -> list[dict[str, float]]:
        """For each item column [C] what each feature adds to its score, for a history of one user.

        Items that are no candidates of this user get an empty explanation.
        """
        candidates = self.candidates(task, history)
        asked = np.isin(candidates.item, columns)
        shares = self.blends[task].contributions(history, candidates, asked).to_dict("records")
        found = dict(zip(candidates.item[asked].tolist(), shares, strict=True))
        return [found.get(int(column), {}) for column in columns]

    def save(self, folder: Path) -> None:
        """Write everything to the folder in one step; the same bundle gives the same bytes."""
        with artifacts.replacing_folder(folder) as fresh:
            for name, model in self.models.items():
                artifacts.save(model, fresh / "models" / name)
            for task, blend in self.blends.items():
                artifacts.save(blend, fresh / "blends" / task)
            artifacts.save(self.known, fresh / "known")
            artifacts.write_frame(self.items, fresh / "items.parquet")
            surfaces = {task: surface.model_dump(mode="json") for task, surface in self.surfaces.items()}
            artifacts.write_json({"kinds": dict(self.kinds), "surfaces": surfaces}, fresh / "bundle.json")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises ArtifactError when a part is missing or damaged."""
        try:
            about = artifacts.read_json(folder / "bundle.json")
            kinds, surfaces = about["kinds"], about["surfaces"]
        except (TypeError, KeyError) as error:
            raise ArtifactError(
                f"{folder}: bundle.json lacks {error}; run the package stage again"
            ) from error
        return cls(
            kinds=kinds,
            models={
                name: artifacts.load(registry.kind(kind), folder / "models" / name)
                for name, kind in kinds.items()
            },
            blends={task: artifacts.load(BlendRanker, folder / "blends" / task) for task in surfaces},
            surfaces={task: TaskConfig.model_validate(surface) for task, surface in surfaces.items()},
            known=artifacts.load(KnownUsers, folder / "known"),
            items=artifacts.read_frame(folder / "items.parquet", ITEMS),
        )

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {str(user): row for row, user in enumerate(self.history.users)}

    def _blend(self) -> BlendRanker:
        return next(iter(self.blends.values()))
