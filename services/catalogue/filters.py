"""Conditions on the catalogue's columns, written in SQL: parsed by sqlglot, held against a white list, evaluated."""

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
_KEPT = 512  # parsed texts
_NODES = {
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
# What these nodes may hold beyond their operands changes their meaning: x.price, in (select ...), between symmetric.
_PARTS = {"this", "expression", "expressions", "low", "high", "is_string", "quoted", "negate"}
_WANTED = "and, or, not, =, <>, <, <=, >, >=, in (...), between, like, is null, columns, 'texts', numbers, true, false"


@dataclass(frozen=True)
class Expression:
    """One condition. It holds where SQL says true; a comparison with an empty place is neither true nor false."""

    text: str
    tree: exp.Expr = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a condition. Raises SettingsError when it is none, too long, or uses more than is offered."""
        return cls(text, _parsed(text))

    def check(self, catalogue: Catalogue) -> None:
        """Raise SettingsError for a column that the catalogue lacks, or for types that do not compare."""
        self.matches(catalogue.frame.iloc[:0])

    def mask(self, catalogue: Catalogue) -> BoolArray:
        """Where it holds, [I], read-only; errors as for `check`."""
        return catalogue.mask(self)

    def matches(self, frame: pd.DataFrame) -> BoolArray:
        """Where it holds in a part of the catalogue's frame, [N]; errors as for `check`."""
        try:
            return evaluate(self.tree, frame)
        except SettingsError as error:
            raise _refused(self.text, str(error)) from error


@functools.lru_cache(maxsize=_KEPT)
def _parsed(text: str) -> exp.Expr:
    """The tree of a text that holds nothing but what is offered."""
    if len(text) > _MAX_LENGTH:
        raise _refused(text, f"{len(text)} characters, wanted at most {_MAX_LENGTH}")
    try:
        tree = sqlglot.parse_one(text, into=exp.Condition, dialect="duckdb")
    except SqlglotError as error:
        raise _refused(text, f"is no condition; wanted {_WANTED}") from error
    except RecursionError as error:
        raise _refused(text, f"nested too deep, wanted at most {_MAX_DEPTH} levels") from error
    for node, depth in _nodes(tree):
        extra = [name for name, value in node.args.items() if value and name not in _PARTS]
        if type(node) not in _NODES or extra:
            raise _refused(text, f"{' '.join([node.key, *extra])!r} is not offered; wanted {_WANTED}")
        if depth > _MAX_DEPTH:
            raise _refused(text, f"nested {depth} levels deep, wanted at most {_MAX_DEPTH}")
    return tree


def _nodes(tree: exp.Expr) -> Iterator[tuple[exp.Expr, int]]:
    """Every node with its depth; a chain of ands, or of ors, is one level however long it is."""
    todo = [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        yield node, depth
        for inner in node.iter_expressions():
            chained = isinstance(node, exp.And | exp.Or) and type(inner) is type(node)
            todo.append((inner, depth + (not chained)))


def _refused(text: str, reason: str) -> SettingsError:
    return SettingsError(f"expression {text!r:.80}: {reason}")
