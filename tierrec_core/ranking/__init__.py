"""Two-stage recommendation: candidate generation by all models, then a learned ranker, then list policies."""

from tierrec_core.ranking.blend import BlendRanker
from tierrec_core.ranking.candidates import Candidates, retrieve, score_candidates

__all__ = ["BlendRanker", "Candidates", "retrieve", "score_candidates"]
