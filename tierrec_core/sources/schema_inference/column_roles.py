"""Infers the role of each column from its name, its content and the recurrence of its values.

Events of a user come in bursts: the next is often minutes later. Unlike sessions, users also return on other days.
Items have the most distinct values of all recurring columns.
"""

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES
from tierrec_core.base.ids import normal_id, text_ids
from tierrec_core.sources.numbers import currency_codes, parse_numbers
from tierrec_core.sources.schema_inference.event_names import (
    canonical_event,
    has_lines_only,
    is_deduction,
    is_kind_name,
    is_return,
    plain,
)
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat, describe_order, parse_times

_FLAGS = {
    "user": "--user-column",
    "item": "--item-column",
    "event": "--event-column",
    "timestamp": "--time-column, --time-format",
    "unit_price": "--unit-price, --line-total",
    "value currency": "--currency",
    "minor_units ...": "--minor-units COLUMN, '' for none",
    "timezone": "--timezone",
    "daily_sessions": "source.daily_sessions",
    "exclude ...": "--exclude COLUMN=VALUE, '' for none",
    "file ...": "--separator, --quote, --encoding, --decimal, --explode",
    "item ...": "--items",
    "user ...": "--users",
}
_FLAGS |= dict.fromkeys(("title", "category", "brand", "price"), "source.item_columns")

# Column names of each role, the likeliest first.
_SYNONYMS = {
    "user": """user_id user userid uid customer_id customer customerid cust_no cust_id visitor_id visitor
        household_id household_key household member_id client_id buyer_id shopper_id anonymous_id account_id reviewer_id
        profile_id client kunde kunden_id kunden_nr kundennummer user_number customer_number email user_session_id""",
    "item": """item_id item itemid product_id product productid parent_asin asin sku article_id article artikel
        artikel_id artikel_nr artikelnummer stock_code goods_id movie_id song_id track_id book_id isbn content_id
        offer_id ean gtin upc produkt produkt_id produktnummer item_number product_number""",
    "event": """event event_type eventtype event_name action action_type behavior behaviour behavior_type
        interaction interaction_type activity vorgang ereignis aktion type""",
    "timestamp": """timestamp time event_time event_timestamp datetime date_time ts transaction_timestamp
        created_at created occurred_at ordered_at ordered placed_at order_time
        unix_time unix_review_time purchase_date order_date invoice_date review_time
        t_dat date day zeitstempel zeit zeitpunkt datum bestelldatum uhrzeit bestellzeit clock hour heure hora""",
    "time_of_day": "ora tijd tid godzina cas čas",
    "value": """value sales_value amount revenue net_sales gross_sales sales
        total total_price paid rating stars overall score betrag umsatz
        wert summe gesamtpreis bewertung price unit_price preis einzelpreis stueckpreis item_cost sold_for""",
    "currency": "currency currency_code waehrung devise divisa moneda moeda valuta waluta mena",
    "quantity": "quantity qty units pieces num_items menge anzahl stueck",
    "session": """session_id session user_session sessionid basket_id basket visit_id order_id order_no order_number
        order
        transaction_id invoice_no invoice receipt_id bon_nr bonnummer sitzung bestellnummer""",
    "channel": "channel sales_channel sales_channel_id store_type kanal",
    "split": "split subset",
    "title": "title name item_name product_name description product_title bezeichnung titel artikelname",
    "category": """category category_code category_name product_category product_category_name category_id
        department product_type product_group_name genre genres kategorie warengruppe""",
    "brand": "brand brand_name manufacturer maker vendor marke hersteller",
    "price": "price unit_price list_price preis einzelpreis stueckpreis",
}

RATING_NAMES = frozenset({"rating", "stars", "overall", "score", "bewertung"})
_MAX_EVENT_KINDS = 30
_MIN_NUMBERS, _MAX_CODE = 0.95, 4
_MIN_CONSTANT = 0.9
_MIN_NUMBERED, _OF_ROW_NUMBER = 0.99, 0.5
_EXACT, _PART, _PER_RANK = 1.0, 0.6, 0.005
_BURST = pd.Timedelta(minutes=30)
_DAY = pd.Timedelta(days=1)
_OF_UNIQUE, _OF_FEW = 0.5, 0.25
_MAX_DISTINCT_SHARE = 0.5
_MIN_DISTINCT = 10
_MIN_BLANKS = 2
_MIN_RETURNING = 0.1
FOLLOWS_EVENT = re.compile(
    r"updat|modif|chang|ship|deliver|dispatch|cancel|refund|return|due|expir|versand|storn", re.IGNORECASE
)
_FEW_TIMES = 3


@dataclass(frozen=True)
class Guess:
    """An inferred setting: its key or role (place), its value, and the evidence."""

    place: str
    value: str
    evidence: str

    @property
    def override(self) -> str:
        """What to give to `init`, or to change in params.yaml, for another value."""
        role, _, rest = self.place.partition(" ")
        if role == "horizon":
            return f"tasks.{rest}.horizon_days"
        if role == "event" and rest:
            return f"--event {shlex.quote(f'{rest}=NAME')}"
        if rest.startswith("in ") and role == "timestamp":
            return f"--time-format {shlex.quote(f'{rest[3:]}=PATTERN')}"
        if rest.startswith("in "):
            return f"source.columns.{role}"
        return _FLAGS.get(self.place) or _FLAGS.get(f"{role} ...") or f"source.columns.{role}"


_ROLE_NAMES = {role: [plain(name) for name in names.split()] for role, names in _SYNONYMS.items()}
_TYPE = _PART - _PER_RANK * _ROLE_NAMES["event"].index("type")  # of a name with this word, perhaps a type of products


def name_score(role: str, column: str) -> float:
    """1 for the likeliest name of the role, slightly less for others, about 0.6 for a part of the name, else 0."""
    names, plain_name = _ROLE_NAMES[role], plain(column)
    if plain_name in names:
        return _EXACT - _PER_RANK * names.index(plain_name)
    if (role in ("item", "session") and is_kind_name(column)) or (role == "value" and is_deduction(column)):
        return 0.0
    words = {plain(word) for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", column)}
    rank = next((rank for rank, name in enumerate(names) if name in words), None)
    return 0.0 if rank is None else _PART - _PER_RANK * rank


def is_exact(score: float) -> bool:
    """Whether the score of a name is that of a whole one."""
    return score > _PART


def is_user_name(column: str) -> bool:
    """Whether columns of users are called so."""
    return is_exact(name_score("user", column))


def find_by_name(role: str, preview: FilePreview, assigned: set[str]) -> Guess | None:
    """The column whose name fits the role best and whose content allows it; for ids, the filled share counts, too."""
    weight = {"user": _id_weight, "item": _id_weight, "session": _session_weight}.get(role, lambda _: 1.0)
    scores = {
        column: name_score(role, column) * weight(preview.sample[column])
        for column in preview.columns
        if column not in assigned
        and name_score(role, column)
        and _fits(role, preview.sample[column], preview.form.decimal)
    }
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None:
        return None
    return Guess(role, best, f"by name; {describe_content(preview, best)}")


def _id_weight(values: pd.Series) -> float:
    """The filled share; a part of it where the rows are numbered from 1, as the lines of an order are."""
    numbers = pd.to_numeric(values, errors="coerce").fillna(0).astype("float64")
    is_next = (numbers == 1) | (numbers - numbers.shift(fill_value=0) == 1)
    return float(values.notna().mean()) * (_OF_ROW_NUMBER if is_next.mean() >= _MIN_NUMBERED else 1)


def _session_weight(values: pd.Series) -> float:
    """1 for values that repeat as those of orders do, a part of it for numbers of lines and for few values."""
    filled = values.dropna()
    few = filled.nunique() <= _MAX_EVENT_KINDS
    return _OF_FEW if few else _OF_UNIQUE if filled.is_unique else 1.0


def describe_content(preview: FilePreview, column: str) -> str:
    """The number of distinct values of a column, with an example."""
    values = preview.sample[column].dropna()
    example = f", such as {str(values.iloc[0])[:40]!r}" if len(values) else ""
    return f"{values.nunique()} distinct values in {len(preview.sample)} rows{example}"


def describe_unified(preview: FilePreview, column: str) -> str:
    """How many ids are equal to others in their normal form, with an example; empty where all are written in it."""
    written = preview.sample[column].dropna().astype("string").drop_duplicates()
    ids = text_ids(written)
    changed = written[ids.ne(written.str.replace(r"\.0$", "", regex=True))]
    if changed.empty:
        return ""
    merged, example = len(ids) - ids.nunique(), changed.iloc[0]
    return f"; {example!r} is read as {normal_id(example)!r}, by which {merged} ids are equal to others"


def _fits(role: str, values: pd.Series, decimal: str) -> bool:
    """Whether the values allow the role: amounts are numbers, and ids are neither fractional nor true or false."""
    filled = values.dropna()
    if filled.empty:
        return False
    if role in ("value", "quantity", "price"):
        numbers, missing = parse_numbers(filled, decimal)
        return bool((~missing).any() and (~np.isnan(numbers[~missing])).mean() >= _MIN_NUMBERS)
    if role == "currency":
        return filled.nunique() <= _MAX_EVENT_KINDS and bool(currency_codes(filled).str.len().le(_MAX_CODE).all())
    if role == "split":
        return "test" in set(filled.astype("string").unique()) and filled.nunique() <= 3
    if role == "user" and _is_free_text(filled):
        return False
    if role in ("user", "item"):
        return filled.dtype.kind not in "bf" or (filled.dtype.kind == "f" and bool((filled % 1 == 0).all()))
    return True


def _is_free_text(filled: pd.Series) -> bool:
    """Whether most values are several words, such as user agents and addresses."""
    return bool((filled.astype("string").str.count(r"\s") >= _MIN_BLANKS).mean() > 1 / 2)


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


def find_event_column(preview: FilePreview, assigned: set[str], names: Collection[str]) -> Guess | None:
    """A column of few distinct values, some of which are event names; the name of the column is scored, too.

    A column that is named for events is one, whatever its values; one with a word for events in its name has an event;
    others have two, or are called a type and have one in most rows or beside returns.
    names: further event names, which make a column of lines of orders one of events
    """
    best: tuple[float, Guess] | None = None
    for column in preview.columns:
        values = preview.sample[column].dropna()
        if column in assigned or not 0 < values.nunique() <= _MAX_EVENT_KINDS:
            continue
        shares = values.astype("string").value_counts(normalize=True)
        known = shares[[name in names or canonical_event(name) in EVENT_NAMES for name in shares.index]]
        named = name_score("event", column)
        if not any(name in names for name in shares.index) and has_lines_only(column, shares.index):
            continue
        score = known.sum() + named
        is_sales = named > 0 and (known.sum() > 1 / 2 or any(map(is_return, shares.index)))
        min_known = 0 if named > _PART else 1 if named > _TYPE or is_sales else 2
        if len(known) >= min_known and (best is None or score > best[0]):
            examples = ", ".join(sorted(known.index if len(known) else shares.index)[:4])
            best = score, Guess("event", column, f"{values.nunique()} kinds, such as {examples}")
    return None if best is None else best[1]


def find_user_column(preview: FilePreview, time: str, time_format: TimeFormat, assigned: set[str]) -> Guess | None:
    """The column whose values come in bursts and return on other days, if there is one."""
    moments = parse_times(preview.sample[time], time_format, "UTC")
    columns = [column for column in _recurring(preview, assigned) if not _is_free_text(preview.sample[column].dropna())]
    scores = {column: _burstiness(preview.sample[column], moments) for column in columns}
    best = max(scores, key=scores.__getitem__, default=None)
    if best is None or scores[best] <= 0:
        return None
    evidence = f"comes in bursts, next row within {_BURST.seconds // 60} min for {scores[best]:.0%} of rows"
    return Guess("user", best, f"{evidence}; {describe_content(preview, best)}")


def find_item_column(preview: FilePreview, assigned: set[str]) -> Guess | None:
    """The column with the most values of those that recur, if there is one."""
    counts = {column: preview.sample[column].nunique() for column in _recurring(preview, assigned)}
    best = max(counts, key=counts.__getitem__, default=None)
    return None if best is None else Guess("item", best, f"most recurring values; {describe_content(preview, best)}")


def _recurring(preview: FilePreview, assigned: set[str]) -> list[str]:
    return [column for column in preview.columns if column not in assigned and _may_be_ids(preview.sample[column])]


def _may_be_ids(values: pd.Series) -> bool:
    """Whether there are many values, mostly repeated and not fractional."""
    filled = values.dropna()
    numbers = pd.to_numeric(filled, errors="coerce")
    is_integer = bool(numbers.isna().any() or (numbers % 1 == 0).all())
    return is_integer and _MIN_DISTINCT <= filled.nunique() <= _MAX_DISTINCT_SHARE * len(filled)


def _burstiness(values: pd.Series, moments: pd.Series) -> float:
    """Share of rows followed by one of the same value within 30 minutes; 0 where few values return on another day."""
    rows = pd.DataFrame({"value": values.astype("string"), "moment": moments})[values.notna() & moments.notna()]
    rows = rows.sort_values(["value", "moment"])
    gap = rows["moment"].diff().where(rows["value"].eq(rows["value"].shift()))
    span = rows.groupby("value")["moment"].agg(np.ptp)
    if (span > _DAY).mean() < _MIN_RETURNING:
        return 0.0
    return float((gap <= _BURST).mean())


def is_item_attribute(preview: FilePreview, item: str, column: str) -> bool:
    """Whether nearly every item has a single value of the column, and not all have the same."""
    if preview.sample[column].nunique() < 2:
        return False
    groups = preview.sample[[item, column]].dropna().astype("string").groupby(item)[column]
    recurring = groups.size() > 1
    return bool(recurring.any() and (groups.nunique()[recurring] == 1).mean() >= _MIN_CONSTANT)


def overlap(values: pd.Series, ids: pd.Series) -> float:
    """Share of the distinct ids that occur among the values."""
    distinct, others = (set(text_ids(cells).dropna().unique()) for cells in (ids, values))
    return len(distinct & others) / max(len(distinct), 1)
