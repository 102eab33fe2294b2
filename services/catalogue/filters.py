"""SQL conditions on the catalogue's columns: parsed by sqlglot, checked against an allow list, evaluated."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import pandas as pd
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.catalogue.catalogue import Catalogue
from services.catalogue.filter_evaluation import COMPARISONS, evaluate
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import SettingsError

_MAX_LENGTH = 2000
_MAX_DEPTH = 30
_MAX_CACHED = 512
_ALLOWED_NODES = {
    *COMPARISONS,
    exp.And,
    exp.Between,
    exp.Boolean,
    exp.Column,
    exp.Identifier,
    exp.In,
    exp.Is,
    exp.Like,
    exp.Literal,
    exp.Neg,
    exp.Not,
    exp.Null,
    exp.Or,
    exp.Paren,
}
# Other arguments change the meaning of a node: x.price, in (select ...), between symmetric.
_ALLOWED_ARGUMENTS = {"this", "expression", "expressions", "low", "high", "is_string", "quoted", "negate"}
_WANTED = "and, or, not, =, <>, <, <=, >, >=, in (...), between, like, is null, columns, 'texts', numbers, true, false"


@dataclass(frozen=True)
class Expression:
    """One condition, with SQL's three-valued logic: a comparison with null is neither true nor false."""

    text: str
    tree: exp.Expr = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a condition. Raises SettingsError if it is invalid, too long, or uses SQL that is not allowed."""
        return cls(text, _parsed(text))

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError for a column that the catalogue lacks and for types that cannot be compared."""
        self.matches(catalogue.frame.iloc[:0])

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Where it is true in a part of the catalogue's frame, [N]; errors as for `check`."""
        try:
            return evaluate(self.tree, frame)
        except SettingsError as error:
            raise _refused(self.text, str(error)) from error


@functools.lru_cache(maxsize=_MAX_CACHED)
def _parsed(text: str) -> exp.Expr:
    if len(text) > _MAX_LENGTH:
        raise _refused(text, f"{len(text)} characters, wanted at most {_MAX_LENGTH}")
    try:
        tree = sqlglot.parse_one(text, into=exp.Condition, dialect="duckdb")
    except SqlglotError as error:
        raise _refused(text, f"is no condition; wanted {_WANTED}") from error
    except RecursionError as error:
        raise _refused(text, f"nested too deep, wanted at most {_MAX_DEPTH} levels") from error
    for node, depth in _nodes(tree):
        extra = [name for name, value in node.args.items() if value and name not in _ALLOWED_ARGUMENTS]
        if type(node) not in _ALLOWED_NODES or extra:
            raise _refused(text, f"{' '.join([node.key, *extra])!r} is not offered; wanted {_WANTED}")
        if depth > _MAX_DEPTH:
            raise _refused(text, f"nested {depth} levels deep, wanted at most {_MAX_DEPTH}")
    return tree


def _nodes(tree: exp.Expr) -> Iterator[tuple[exp.Expr, int]]:
    """Every node with its depth; a chain of ands or of ors counts as one level."""
    pending = [(tree, 1)]
    while pending:
        node, depth = pending.pop()
        yield node, depth
        for inner in node.iter_expressions():
            chained = isinstance(node, exp.And | exp.Or) and type(inner) is type(node)
            pending.append((inner, depth + (not chained)))


def _refused(text: str, reason: str) -> SettingsError:
    return SettingsError(f"expression {text!r:.80}: {reason}")
