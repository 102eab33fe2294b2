"""The stacked meta-ranker: every retriever's candidates, ordered by all models' scores and by behaviour."""

from tierrec_core.blend.blend import Blend
from tierrec_core.blend.candidates import Candidates, retrieve, score_given

__all__ = ["Blend", "Candidates", "retrieve", "score_given"]
