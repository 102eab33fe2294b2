"""Finds the column of times."""

import re

from tierrec_core.sources.schema_inference.columns.names import is_exact, name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess, describe_content
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, describe_order

FOLLOWS_EVENT = re.compile(
    r"upd|modif|chang|ship|deliver|dispatch|cancel|refund|return|due|expir|versand|storn", re.IGNORECASE
)
_FEW_TIMES = 3


def find_time_column(preview: FilePreview, assigned: set[str]) -> tuple[Guess, TimeFormat] | None:
    """The column of times with the best name, and its format; numeric columns need a matching name, dates do not.

    Columns of few distinct times, and those that are called after what follows an event, such as updates, come last.
    """
    scores = {column: name_score("timestamp", column) for column in preview.time_formats if column not in assigned}
    scores = {column: score for column, score in scores.items() if score or preview.time_formats[column].unit is None}

    def fitness(column: str) -> tuple[bool, bool, float]:
        few = 1 if is_exact(scores[column]) else _FEW_TIMES
        return preview.sample[column].nunique() > few, not FOLLOWS_EVENT.search(column), scores[column]

    best = max(scores, key=fitness, default=None)
    if best is None:
        return None
    time_format = preview.time_formats[best]
    order = describe_order(preview.sample[best], time_format)
    evidence = f"{time_format.name}{order}; {describe_content(preview, best)}"
    return Guess("timestamp", best, evidence), time_format
