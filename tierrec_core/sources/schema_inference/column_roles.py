"""Which column is which: by its name in the languages of shops, and by what it holds."""

import re
from dataclasses import dataclass

import pandas as pd

from tierrec_core.base.contracts import EVENT_NAMES
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.time_formats import TimeFormat

IGNORE = "ignore"

# The likeliest name first.
_SYNONYMS = {
    "user": """user_id user userid uid customer_id customer customerid cust_no cust_id visitor_id visitor
        household_id household_key household member_id client_id buyer_id shopper_id account_id reviewer_id profile_id
        kunde kunden_id kunden_nr kundennummer user_number customer_number user_session_id""",
    "item": """item_id item itemid product_id product productid parent_asin asin sku article_id article artikel
        artikel_id artikel_nr artikelnummer stock_code goods_id movie_id song_id track_id book_id isbn content_id
        offer_id ean gtin upc produkt produkt_id produktnummer item_number product_number""",
    "event": """event event_type eventtype event_name action action_type behavior behaviour behavior_type
        interaction interaction_type activity vorgang ereignis aktion type""",
    "timestamp": """timestamp time event_time event_timestamp datetime date_time ts transaction_timestamp
        created_at occurred_at unix_time unix_review_time purchase_date order_date invoice_date review_time t_dat
        date day zeitstempel zeit zeitpunkt datum bestelldatum""",
    "value": """value sales_value amount revenue total total_price paid rating stars overall score betrag umsatz
        wert bewertung price unit_price preis""",
    "quantity": "quantity qty units pieces num_items menge anzahl stueck",
    "session": """session_id session user_session sessionid basket_id basket visit_id order_id order_no
        transaction_id invoice_no invoice receipt_id bon_nr bonnummer sitzung bestellnummer""",
    "channel": "channel sales_channel sales_channel_id store_type kanal",
    "split": "split subset",
    "title": "title name item_name product_name description product_title bezeichnung titel artikelname",
    "category": """category category_code category_name product_category product_category_name category_id
        department product_type product_group_name genre genres kategorie warengruppe""",
    "brand": "brand brand_name manufacturer maker vendor marke hersteller",
    "price": "price unit_price list_price preis",
}

_EVENT_SYNONYMS = {
    "impression": "impression impressions show shown display exposure",
    "view": """view views viewed look looked see seen browse pageview page_view pv product_view view_item
        detail detail_view item_view visit ansicht""",
    "click": "click clicks clk tap klick",
    "favourite": "favourite favorite fav like liked wishlist add_to_wishlist bookmark save merkliste",
    "cart": """cart add_to_cart addtocart to_cart in_cart put_in_cart basket to_basket add_to_basket atc add
        warenkorb in_den_warenkorb""",
    "rating": "rating rate review stars bewertung",
    "purchase": """purchase purchased buy bought paid pay order ordered transaction checkout sale conversion kauf
        bestellung""",
    "redeem": "redeem redeemed redemption coupon_redemption eingeloest",
}

RATING_NAMES = frozenset({"rating", "stars", "overall", "score", "bewertung"})
_MAX_EVENT_KINDS = 30
_MIN_NUMBERS = 0.95
_MIN_CONSTANT = 0.9
_WHOLE, _PART, _PER_RANK = 1.0, 0.6, 0.005


@dataclass(frozen=True)
class Guess:
    """One setting that the proposal makes: its place in params.yaml, its value, and why."""

    place: str
    value: str
    evidence: str


def plain(name: str) -> str:
    """A name without case, accents of style and punctuation: `Add-To_Cart` is addtocart."""
    return re.sub(r"[\W_]", "", name.lower().replace("ü", "ue").replace("ö", "oe").replace("ä", "ae"))


_ROLE_NAMES = {role: [plain(name) for name in names.split()] for role, names in _SYNONYMS.items()}
_OUR_EVENT = {plain(name): ours for ours, names in _EVENT_SYNONYMS.items() for name in names.split()}


def canonical_event(name: str) -> str:
    """Our name of an event that a file calls `name`, or `ignore`."""
    return _OUR_EVENT.get(plain(name), IGNORE)


def name_score(role: str, column: str) -> float:
    """1 for the likeliest name of the role, a little less for others, about a half for a part of the name, else 0."""
    names, found = _ROLE_NAMES[role], plain(column)
    if found in names:
        return _WHOLE - _PER_RANK * names.index(found)
    words = {plain(word) for word in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", column)}
    places = [place for place, name in enumerate(names) if name in words]
    return _PART - _PER_RANK * places[0] if places else 0.0


def find_by_name(role: str, peek: FilePreview, taken: set[str]) -> Guess | None:
    """The column whose name fits the role best and whose content does not speak against it."""
    scores = {
        column: name_score(role, column)
        for column in peek.columns
        if column not in taken and _fits(role, peek.sample[column])
    }
    best = max(scores, key=lambda column: scores[column], default=None)
    if best is None or scores[best] == 0:
        return None
    return Guess(role, best, f"its name; {describe_content(peek, best)}")


def describe_content(peek: FilePreview, column: str) -> str:
    """What a column holds, in words."""
    values = peek.sample[column].dropna()
    example = f", such as {str(values.iloc[0])[:40]!r}" if len(values) else ""
    return f"{values.nunique()} distinct values in {len(peek.sample)} rows{example}"


def _fits(role: str, values: pd.Series) -> bool:
    """Whether content allows the role: numbers are numbers, identities recur and are no fractions."""
    filled = values.dropna()
    if filled.empty:
        return False
    if role in ("value", "quantity", "price"):
        return bool(pd.to_numeric(filled, errors="coerce").notna().mean() >= _MIN_NUMBERS)
    if role == "split":
        return "test" in set(filled.astype(str).unique()) and filled.nunique() <= 3
    if role in ("user", "item"):
        return filled.dtype.kind != "f" or bool((filled % 1 == 0).all())
    return True


def find_time_column(peek: FilePreview, taken: set[str]) -> tuple[Guess, TimeFormat] | None:
    """The column of times with the best name; numbers need such a name, dates do not."""
    best: tuple[float, Guess, TimeFormat] | None = None
    for column in [column for column in peek.columns if column in peek.clocks and column not in taken]:
        score, clock = name_score("timestamp", column), peek.clocks[column]
        if score == 0 and clock.unit is not None:
            continue
        if best is None or score > best[0]:
            best = score, Guess("timestamp", column, f"{clock.name}; {describe_content(peek, column)}"), clock
    return None if best is None else best[1:]


def find_event_column(peek: FilePreview, taken: set[str]) -> Guess | None:
    """A column of few distinct texts, some of which are names of events; the name of the column breaks ties."""
    best: tuple[float, Guess] | None = None
    for column in peek.columns:
        values = peek.sample[column].dropna()
        if column in taken or not 0 < values.nunique() <= _MAX_EVENT_KINDS:
            continue
        shares = values.astype(str).value_counts(normalize=True)
        known = shares[[canonical_event(name) in EVENT_NAMES for name in shares.index]]
        score = known.sum() + name_score("event", column)
        if len(known) and (best is None or score > best[0]):
            shown = ", ".join(sorted(known.index)[:4])
            best = score, Guess("event", column, f"{values.nunique()} kinds, such as {shown}")
    return None if best is None else best[1]


def is_item_attribute(peek: FilePreview, item: str, column: str) -> bool:
    """Whether nearly every item has one single value of the column, as an attribute of the item would."""
    seen = peek.sample[[item, column]].dropna().astype(str)
    groups = seen.groupby(item)[column]
    recurring = groups.size() > 1
    return bool(recurring.any() and (groups.nunique()[recurring] == 1).mean() >= _MIN_CONSTANT)


def overlap(values: pd.Series, ids: pd.Series) -> float:
    """Share of the distinct ids that occur among the values."""
    wanted = set(ids.dropna().astype(str).unique())
    return len(wanted & set(values.dropna().astype(str).unique())) / max(len(wanted), 1)
