"""SQL conditions on the catalogue's columns: parsed by sqlglot, checked against an allow list, evaluated by Arrow.

Arrow's kernels implement SQL's three-valued logic.
"""

import contextlib
import difflib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from services.catalogue.catalogue import Catalogue
from services.catalogue.columns import BOOLEAN, NAMES, NUMBER, TEXT, TIME, kind_of
from tierrec_core.base.contracts import BoolArray
from tierrec_core.base.errors import SettingsError

_MAX_LENGTH = 2000
_MAX_DEPTH = 30
_MAX_CACHED = 512
_COMPARISONS: Mapping[type[exp.Expr], Callable[..., Any]] = {
    exp.EQ: pc.equal,
    exp.NEQ: pc.not_equal,
    exp.LT: pc.less,
    exp.LTE: pc.less_equal,
    exp.GT: pc.greater,
    exp.GTE: pc.greater_equal,
}
_ARROW = {BOOLEAN: pa.bool_(), NUMBER: pa.float64(), TEXT: pa.large_string(), TIME: pa.timestamp("us", "UTC")}
# Other arguments change the meaning of a node: x.price, in (select ...), between symmetric.
_ALLOWED_ARGUMENTS = {"this", "expression", "expressions", "low", "high", "is_string", "quoted", "negate"}
_SYNTAX = "and, or, not, =, <>, <, <=, >, >=, in (...), between, like, is null, columns, 'texts', numbers, true, false"


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
        """Whether it is true for each row of a part of the catalogue's frame, [N]; raises as `check` does."""
        try:
            truth = _truth(self.tree, frame)
        except (SettingsError, pa.ArrowException) as error:
            raise _refused(self.text, str(error)) from error
        if isinstance(truth, pa.Scalar):
            return np.full(len(frame), truth.as_py() is True)
        mask: BoolArray = pc.fill_null(truth, False).to_numpy(zero_copy_only=False)
        return mask


@functools.lru_cache(maxsize=_MAX_CACHED)
def _parsed(text: str) -> exp.Expr:
    if len(text) > _MAX_LENGTH:
        raise _refused(text, f"has {len(text)} characters, wanted at most {_MAX_LENGTH}")
    try:
        tree = sqlglot.parse_one(text, into=exp.Condition, dialect="duckdb")
    except SqlglotError as error:
        raise _refused(text, f"is not a condition; wanted {_SYNTAX}") from error
    except RecursionError as error:
        raise _refused(text, f"is nested too deeply, wanted at most {_MAX_DEPTH} levels") from error
    for node, depth in _nodes(tree):
        extra = [name for name, value in node.args.items() if value and name not in _ALLOWED_ARGUMENTS]
        if type(node) not in _ALLOWED_NODES or extra:
            raise _refused(text, f"{' '.join([node.key, *extra])!r} is not supported; wanted {_SYNTAX}")
        if depth > _MAX_DEPTH:
            raise _refused(text, f"is nested {depth} levels deep, wanted at most {_MAX_DEPTH}")
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


@dataclass(frozen=True)
class _Operand:
    """The value of a subexpression: an array [N] or a scalar of one of the four types; null has any type."""

    data: Any
    kind: str | None

    def of(self, kind: str) -> "_Operand":
        """Convert to the type that it is compared with. Raises SettingsError if that is not possible."""
        if self.kind == kind:
            return self
        if self.kind is None:
            return _Operand(pa.scalar(None, _ARROW[kind]), kind)
        if kind == TIME and isinstance(self.data, pa.StringScalar | pa.LargeStringScalar):
            return _Operand(pa.scalar(_utc_time(self.data.as_py()), _ARROW[TIME]), TIME)
        raise SettingsError(f"compares {NAMES[kind]} with {NAMES[self.kind]}; wanted the same on both sides")


def _truth(node: exp.Expr, frame: pd.DataFrame) -> Any:
    """True, false or null: for each row, or a scalar.

    Raises SettingsError for a column that the frame lacks and for types that cannot be compared.
    """
    operand = _operand(node, frame)
    if operand.kind not in (BOOLEAN, None):
        raise SettingsError(f"{node.sql('duckdb')} is {NAMES[str(operand.kind)]}, wanted a condition")
    return operand.of(BOOLEAN).data


def _operand(node: exp.Expr, frame: pd.DataFrame) -> _Operand:
    if isinstance(node, exp.Paren):
        return _operand(node.this, frame)
    if isinstance(node, exp.Column):
        return _column(node.name, frame)
    if isinstance(node, exp.Literal | exp.Neg | exp.Null | exp.Boolean):
        return _literal(node)
    return _Operand(_CONDITIONS[type(node)](node, frame), BOOLEAN)


def _column(name: str, frame: pd.DataFrame) -> _Operand:
    if name not in frame:
        near = difflib.get_close_matches(name, map(str, frame), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"wanted one of {', '.join(map(str, frame))}"
        raise SettingsError(f"column {name!r} is unknown; {hint}")
    kind = kind_of(frame[name])
    if kind not in NAMES:
        raise SettingsError(f"column {name!r} holds neither text, numbers, booleans nor times; use another")
    return _Operand(pa.array(frame[name], from_pandas=True), kind)


def _literal(node: exp.Expr) -> _Operand:
    if isinstance(node, exp.Null):
        return _Operand(None, None)
    if isinstance(node, exp.Boolean):
        return _Operand(pa.scalar(bool(node.this)), BOOLEAN)
    if isinstance(node, exp.Literal) and node.is_string:
        return _Operand(pa.scalar(node.this, pa.large_string()), TEXT)
    return _Operand(pa.scalar(_number(node)), NUMBER)


def _number(node: exp.Expr) -> float:
    if isinstance(node, exp.Neg):
        return -_number(node.this)
    number = math.nan
    if isinstance(node, exp.Literal) and not node.is_string:
        with contextlib.suppress(ValueError):  # sqlglot parses 1e as a number
            number = float(node.this)
    if not math.isfinite(number):
        raise SettingsError(f"{node.sql('duckdb')} is not a finite number; wanted one such as -12.5")
    return number


def _chain(node: exp.Expr, frame: pd.DataFrame) -> Any:
    join = pc.and_kleene if isinstance(node, exp.And) else pc.or_kleene
    return functools.reduce(join, (_truth(part, frame) for part in node.flatten()))


def _comparison(node: exp.Expr, frame: pd.DataFrame) -> Any:
    return _compared(type(node), _operand(node.this, frame), _operand(node.expression, frame))


def _between(node: exp.Expr, frame: pd.DataFrame) -> Any:
    inner = _operand(node.this, frame)
    low, high = (_operand(node.args[end], frame) for end in ("low", "high"))
    return pc.and_kleene(_compared(exp.GTE, inner, low), _compared(exp.LTE, inner, high))


def _compared(operator: type[exp.Expr], left: _Operand, right: _Operand) -> Any:
    kinds = [kind for kind in (left.kind, right.kind) if kind is not None]
    kind = TIME if TIME in kinds else kinds[0] if kinds else BOOLEAN
    left, right = left.of(kind), right.of(kind)
    if kind == BOOLEAN:  # Arrow does not order booleans; in SQL false < true
        return _COMPARISONS[operator](left.data.cast(pa.int8()), right.data.cast(pa.int8()))
    return _COMPARISONS[operator](left.data, right.data)


def _in(node: exp.Expr, frame: pd.DataFrame) -> Any:
    """x in (a, b) means x = a or x = b: null if neither is true and one of them is null."""
    inner, listed = _operand(node.this, frame), [_operand(part, frame) for part in node.expressions]
    if not listed:
        raise SettingsError("in () has no values; wanted at least one")
    is_column = isinstance(inner.data, pa.Array | pa.ChunkedArray)
    constants = [operand for operand in listed if is_column and isinstance(operand.data, pa.Scalar)]
    parts = [_compared(exp.EQ, inner, operand) for operand in listed if operand not in constants]
    return functools.reduce(pc.or_kleene, parts + ([_in_constants(inner, constants)] if constants else []))


def _in_constants(inner: _Operand, constants: Sequence[_Operand]) -> Any:
    """Look up each row once, however many constants there are."""
    kind = str(inner.kind)
    values = pa.array([constant.of(kind).data.as_py() for constant in constants], _ARROW[kind])
    return pc.if_else(pc.is_valid(inner.data), pc.is_in(inner.data, values), pa.scalar(None, pa.bool_()))


def _is_null(node: exp.Expr, frame: pd.DataFrame) -> Any:
    if not isinstance(node.expression, exp.Null):
        raise SettingsError(f"{node.sql('duckdb')} is not supported; wanted is null or is not null")
    inner = _operand(node.this, frame)
    return pa.scalar(True) if inner.kind is None else pc.is_null(inner.data)


def _like(node: exp.Expr, frame: pd.DataFrame) -> Any:
    pattern = node.expression
    if not isinstance(pattern, exp.Literal) or not pattern.is_string:
        raise SettingsError(f"like {pattern.sql('duckdb')}: wanted a pattern such as 'a%'")
    escaped = pattern.this.replace("\\", "\\\\")  # Arrow's like has an escape character, DuckDB's has none
    matches = pc.match_like(_operand(node.this, frame).of(TEXT).data, escaped)
    return pc.invert(matches) if node.args.get("negate") else matches


def _utc_time(text: str) -> datetime:
    """A time in UTC; one without an offset is taken as UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise SettingsError(f"{text!r:.80} is not a time; wanted {NAMES[TIME]}") from error


_CONDITIONS: Mapping[type[exp.Expr], Callable[[exp.Expr, pd.DataFrame], Any]] = {
    exp.And: _chain,
    exp.Or: _chain,
    exp.Not: lambda node, frame: pc.invert(_truth(node.this, frame)),
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is_null,
    exp.Like: _like,
    **dict.fromkeys(_COMPARISONS, _comparison),
}
_ALLOWED_NODES = {*_CONDITIONS, exp.Boolean, exp.Column, exp.Identifier, exp.Literal, exp.Neg, exp.Null, exp.Paren}
