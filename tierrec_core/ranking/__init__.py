"""The stacked meta-ranker: every retriever's candidates, ordered by all models' scores and by behaviour."""

from tierrec_core.ranking.candidates import Candidates, retrieve, score_candidates
from tierrec_core.ranking.ranker import BlendRanker

__all__ = ["BlendRanker", "Candidates", "retrieve", "score_candidates"]
