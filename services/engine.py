"""From a request to an answer; the only module that asks the bundle."""

import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, cast

import numpy as np
import pandas as pd

from services.release import Release
from services.schemas import Answer, AnswerPath, Info, Item, RecommendRequest
from tierrec_core.bundle import Bundle
from tierrec_core.errors import DataError
from tierrec_core.explain import TREND, reasons
from tierrec_core.interactions import Interactions
from tierrec_core.protocol import Retriever
from tierrec_core.ranking import Ranked, rank_candidates
from tierrec_core.tiers import TIER_NAMES

# By NDCG@10 of an empty history on the validation windows of the demo data (.157, .152, .144 on next).
PRIORS = ("popularity", "cold_start", "tier_prior")
_SPARE = 5  # a list that the policy may cap is cut from one that is this many times as long


@dataclass(frozen=True)
class Engine:
    """Answers requests; safe to share between threads, since nothing in it changes."""

    bundle: Bundle
    release: Release

    @classmethod
    def load(cls, release: Release, folder: Path) -> Self:
        """Load the release's bundle. Raises ArtifactError when a part is missing or damaged."""
        return cls(Bundle.load(folder), release)

    def info(self) -> Info:
        """What is being served."""
        history = self.bundle.history
        return Info(
            bento=self.release.bento,
            model=self.release.model,
            model_version=self.release.model_version,
            tasks=list(self.bundle.tasks),
            num_users=history.num_users,
            num_items=history.num_items,
            labels=self.release.labels,
        )

    def answer(self, request: RecommendRequest) -> Answer:
        """The first k items that the request does not exclude. Raises DataError for a task that is not served."""
        task = request.task or self.release.default_task
        if task not in self.bundle.tasks:
            raise DataError(f"task: {task!r} is not served; wanted one of {', '.join(self.bundle.tasks)}")
        known = None if request.user_id is None else self.bundle.history_of(request.user_id)
        history = self.bundle.visitor(request.history or ()) if known is None else known
        path, ranked = self._rank(task, history, request.k + len(request.exclude))
        scores = self._kept(ranked, request)
        return Answer(
            items=self._describe(task, history, path, scores, request.explain),
            path=path,
            tier=self.bundle.tier_of(history),
            known_user=known is not None,
            task=task,
            model_version=self.release.model_version,
            request_id=uuid.uuid4().hex,
        )

    def _rank(self, task: str, history: Interactions, k: int) -> tuple[AnswerPath, Ranked]:
        """The blend's list; for an empty history, of which the blend has seen none, the prior's."""
        if len(history) or self._prior is None:
            return AnswerPath.BLEND, self.bundle.recommend(task, history, k)
        policy, tier = self.bundle.known.policy, TIER_NAMES.index(self.bundle.tier_of(history))
        columns = np.arange(history.num_items, dtype=np.int32)
        scores = self._prior.score_catalogue(history)[0]
        adjusted = policy.adjust(scores, np.zeros_like(columns), columns, np.array([tier]))
        return AnswerPath.COLD, policy.cap(rank_candidates(adjusted[None], columns[None], k * _SPARE), k)

    @cached_property
    def _prior(self) -> Retriever | None:
        """The best model that scores without a history, if the bundle has one."""
        by_kind = {kind: self.bundle.models[name] for name, kind in self.bundle.kinds.items()}
        return next((cast("Retriever", by_kind[kind]) for kind in PRIORS if kind in by_kind), None)

    def _kept(self, ranked: Ranked, request: RecommendRequest) -> dict[int, float]:
        """Column and score of each item that is left, best first."""
        excluded = set(self.bundle.history.items.get_indexer(pd.Index(request.exclude, dtype=object)))
        pairs = zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True)
        kept = {column: score for column, score in pairs if column >= 0 and column not in excluded}
        return dict(list(kept.items())[: request.k])

    def _describe(
        self, task: str, history: Interactions, path: AnswerPath, scores: dict[int, float], explain: bool
    ) -> list[Item]:
        columns = np.array(list(scores), dtype=np.int32)
        why: list[dict[str, float] | None] = [None] * len(columns)
        if explain and path is AnswerPath.COLD:
            why = [{TREND: score} for score in scores.values()]
        elif explain:
            why = [reasons(shares) for shares in self.bundle.explain(task, history, columns)]
        shown = self.bundle.items.iloc[columns][["item_id", "title"]].itertuples(index=False)
        return [
            Item(item_id=item_id, title=title, score=score, reasons=reason)
            for (item_id, title), score, reason in zip(shown, scores.values(), why, strict=True)
        ]
