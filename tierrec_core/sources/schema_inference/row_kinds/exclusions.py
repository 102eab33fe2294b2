"""Finds the rows of a log that are no purchases: void and test orders, lines of no product, and sums."""

import re
from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from tierrec_core.base.errors import MissingColumnError
from tierrec_core.sources.file_columns import ANY_VALUE, is_excluded
from tierrec_core.sources.schema_inference.columns.names import name_score
from tierrec_core.sources.schema_inference.columns.roles import Guess, is_item_attribute
from tierrec_core.sources.schema_inference.event_names import (
    CROSS,
    NO,
    YES,
    charge_lines,
    is_charge,
    is_deduction,
    is_kind_name,
    is_return_word,
    is_void,
    plain,
    words,
)
from tierrec_core.sources.schema_inference.order_lines import returned_columns
from tierrec_core.sources.schema_inference.preview import FilePreview
from tierrec_core.sources.schema_inference.row_kinds.event_kinds import marks_returns
from tierrec_core.sources.schema_inference.row_kinds.order_statuses import (
    has_statuses,
    is_of_others,
    is_status_name,
    void_statuses,
)
from tierrec_core.sources.schema_inference.row_kinds.product_parts import find_parts

_MAX_STATUSES = 30
_MIN_AGREEING, _MIN_LINES = 0.99, 5
_MAX_VOID, MAX_MARKED = 0.5, 0.3
_OF_USERS = 0.9
_MAY_BE_STATUSES = ("session", "channel")
_AMOUNTS = ("quantity", "value")
_VOID_ORDERS = "orders that came to nothing, by name"
_TOTALS = {"total", "subtotal", "grandtotal", "summe", "gesamt", "gesamtsumme", "zwischensumme", "transfer", "payout"}
_MAX_CHARGES = 0.2
_LETTER = r"[^\W\d_]"
_VOID_DATE = re.compile(
    r"cancel\w*|storn\w*|annul\w*|anul\w*|void\w*|refund\w*|return(ed)?|retourniert|delet\w*|gelo(e)?sch\w*"
)
_OF_VOIDING = re.compile(r"at|on|by|date|time|datum|zeit|zeitpunkt|am|reason|grund|timestamp")
_TESTS = {"test", "testing", "sandbox", "draft", "entwurf", "brouillon", "borrador", "bozza", "trash", "spam"}
_TESTS |= {"staging", "deleted", "geloscht", "geloescht", "testbestellung", "demo", "storniert", "storno"}
_LIVE_NAMES = {"livemode", "islive", "live", "isvalid", "valid"}
_PRODUCT_AMOUNTS = {"principal", "itemprice", "productcharges"}
_OTHER_AMOUNTS = re.compile(r"tax|fees?|commission|shipping|promotion|itemfees|itemtax|withheld|giftwrap")


def find_exclusions(logs: Sequence[tuple[FilePreview, Mapping[str, Guess]]]) -> dict[str, dict[str, str]]:
    """By column, the values of rows that are no purchases, each with the reason. logs: previews and roles

    Raises DataError where an order has the same product twice, and none can be told from the other.
    """
    taken = {guess.value for _, roles in logs for role, guess in roles.items() if role not in _MAY_BE_STATUSES}
    found = dict[str, dict[str, str]]()
    for preview, roles in logs:
        taken |= set(returned_columns(preview, roles["quantity"].value) if "quantity" in roles else ())
        columns = {name: _no_purchases(preview, roles, name) for name in preview.columns if name not in taken}
        further = (
            void_columns(preview, {*taken, *filter(_is_of_returns, preview.columns if "event" in roles else ())}),
            _lines_without_item(preview, roles),
            _charge_items(preview, roles),
            find_parts(preview, roles),
        )
        groups = (columns, _sum_lines(preview, roles), *further)
        for name, reasons in (pair for group in groups for pair in group.items()):
            found[name] = reasons | found.get(name, {})
    return {name: dict(sorted(reasons.items())) for name, reasons in found.items() if reasons}


def _no_purchases(preview: FilePreview, roles: Mapping[str, Guess], name: str) -> dict[str, str]:
    """The values of a column of marks such as is_cancelled, of statuses or of kinds of lines, where others are left."""
    cells = preview.sample[name]
    if not 0 < cells.nunique() <= _MAX_STATUSES:
        return {}
    texts = cells.astype("string")
    kinds = set(texts.dropna())
    if marked := marked_values(name, texts):
        return {} if is_excluded(cells, list(marked)).mean() > MAX_MARKED else dict.fromkeys(marked, _VOID_ORDERS)
    left_out = []
    if is_status_name(name):
        left_out = [] if is_of_others(name) else void_statuses(kinds)
        left_out = [] if is_of_users(preview, roles, name, left_out) else left_out
    elif has_statuses(kinds) and not is_item_attribute(preview, roles["item"].value, name):
        left_out = void_statuses(kinds)
    reason = _VOID_ORDERS
    if not left_out:
        left_out, reason = charge_lines(name, kinds) or _other_amounts(kinds), "lines of no product, by name"
    return {} if texts.isin(left_out).all() else {kind.lower(): reason for kind in left_out}


def is_of_users(preview: FilePreview, roles: Mapping[str, Guess], name: str, void: Collection[str]) -> bool:
    """Whether a status is that of users: nearly all orders of those with a void one have it."""
    is_known = "session" in roles and roles["session"].value != name
    order, user = roles["session" if is_known else "timestamp"].value, roles["user"].value
    rows = preview.sample[[user, order]].assign(is_void=preview.sample[name].astype("string").isin(void).fillna(False))
    users = rows.groupby(user).agg(share=("is_void", "mean"), orders=(order, "nunique"))
    shares = users["share"][(users["share"] > 0) & (users["orders"] > 1)]
    return len(shares) >= _MIN_LINES and bool((shares == 1).mean() >= _OF_USERS)


def marked_values(name: str, texts: pd.Series) -> set[str]:
    """The values that say of a row that it is void or a test, in a column such as is_test or Storniert."""
    values = set(texts.dropna().str.lower())
    plain_values = {value.removesuffix(".0") for value in values}
    yes = YES | CROSS if texts.isna().any() else YES
    if plain(name) in _LIVE_NAMES and YES & plain_values and plain_values <= YES | NO:
        return {value for value in values if value.removesuffix(".0") in NO}
    found = {word for word in words(name) if word not in ("is", "was", "order", "line")}
    is_mark = (
        is_void(name)
        or marks_returns(name, values | ({""} if texts.isna().any() else set()))
        or (bool(found) and found <= _TESTS)
    )
    is_complete = bool(NO & plain_values) or bool(texts.isna().any())
    if (
        not is_mark
        or not is_complete
        or not plain_values <= yes | NO
        or any(name_score(role, name) for role in _AMOUNTS)
    ):
        return set()
    return {value for value in values if value.removesuffix(".0") in yes}


def _other_amounts(kinds: Collection[str]) -> list[str]:
    """The kinds of amounts beside that of the product, as in settlements of marketplaces."""
    others = [kind for kind in kinds if plain(kind) not in _PRODUCT_AMOUNTS]
    is_settlement = any(is_charge(kind) or _OTHER_AMOUNTS.search(kind.lower()) for kind in others)
    return others if is_settlement and len(others) < len(kinds) else []


def void_columns(preview: FilePreview, taken: Collection[str]) -> dict[str, dict[str, str]]:
    """Columns that are filled in void orders alone, such as cancelled_at and cancel_reason."""
    shares = {
        name: filled_share(preview.sample[name]) for name in preview.columns if name not in taken and is_of_void(name)
    }
    most = {name: MAX_MARKED if _is_of_returns(name) else _MAX_VOID for name in shares}
    sparse = [n for n, share in shares.items() if 0 < share <= most[n] and not _is_flag(preview.sample[n])]
    return {name: {ANY_VALUE: "filled where an order came to nothing, by name"} for name in sparse}


def is_of_void(name: str) -> bool:
    """Whether a column is called as the time or reason of a cancellation is."""
    found = words(name)
    joined = len(found) == 1 and re.fullmatch(r"(storno|retouren?|rue?ckgabe)(datum|zeit|zeitpunkt|grund)", found[0])
    return bool(joined) or (
        any(map(_VOID_DATE.fullmatch, found)) and any(map(_OF_VOIDING.fullmatch, found)) and not is_deduction(name)
    )


def _is_of_returns(name: str) -> bool:
    return any(map(is_return_word, words(name)))


def filled_share(cells: pd.Series) -> float:
    """The share of cells that are neither empty nor zeros."""
    return float(is_excluded(cells, [ANY_VALUE]).mean())


def _is_flag(cells: pd.Series) -> bool:
    return set(cells.dropna().astype("string").str.lower()) <= YES | NO


def _lines_without_item(preview: FilePreview, roles: Mapping[str, Guess]) -> dict[str, dict[str, str]]:
    """By a column of kinds of lines, those kinds that never name an item, such as payments, where others always do."""
    has_item = preview.sample[roles["item"].value].notna()
    used = {guess.value for guess in roles.values()}
    if has_item.all() or "event" in roles:
        return {}
    for name in sorted(preview.columns, key=lambda name: not is_kind_name(name)):
        cells = preview.sample[name].astype("string").str.lower()
        is_kinds = 1 < cells.nunique() <= _MAX_STATUSES and cells.dropna().str.contains(_LETTER).all()
        if not is_kinds or name in used or name in preview.time_formats:
            continue
        shares = has_item.groupby(cells).mean()
        bare = shares.index[shares == 0]
        is_clear = len(bare) and shares.drop(bare).min() >= _MIN_AGREEING
        if is_clear and cells[~has_item].isin(bare).mean() >= _MIN_AGREEING and cells.isin(bare).sum() >= _MIN_LINES:
            return {name: dict.fromkeys(bare, "lines without an item")}
    return {}


def _charge_items(preview: FilePreview, roles: Mapping[str, Guess]) -> dict[str, dict[str, str]]:
    """The items that are called as postage, fees, transfers and totals are, among many others."""
    item = roles["item"].value
    texts = preview.sample[item].dropna().astype("string").str.lower().unique()
    names = [str(text) for text in texts if not re.search(r"\d|gift", text)]
    found = {*charge_lines("line type", names), *(name for name in names if plain(name) in _TOTALS)}
    is_few = len(found) <= _MAX_CHARGES * len(texts)
    return {item: dict.fromkeys(found, "items that are no products, by name")} if found and is_few else {}


def _sum_lines(preview: FilePreview, roles: Mapping[str, Guess]) -> dict[str, dict[str, str]]:
    """By column, the texts that lines without two of user, item and time have in it alone, such as Total."""
    essential = [roles[role].value for role in ("user", "item", "timestamp")]
    is_bare = preview.sample[essential].isna().sum(axis=1) > 1
    others = {
        guess.value for role, guess in roles.items() if role not in ("user", "item")
    } | preview.time_formats.keys()
    for name in preview.columns if is_bare.sum() > 1 and "event" not in roles else ():
        texts = preview.sample[name].astype("string").str.lower()
        bare = texts[is_bare]
        is_text = name not in others and bare.str.contains(_LETTER).fillna(False).all()
        if is_text and bare.nunique() <= len(bare) / 2 and not texts[~is_bare].isin(bare).any():
            return {name: dict.fromkeys(bare, "sums, which have no item")}
    return {}


def describe_exclusions(previews: Sequence[FilePreview], exclude: Mapping[str, Mapping[str, str]]) -> list[Guess]:
    """What the rows that are left out have in each column, why, and the number of them in the samples.

    exclude: by column, the reason of each value. Raises MissingColumnError for a column that no file has.
    """
    guesses = []
    for name, reasons in exclude.items():
        cells = [preview.sample[name] for preview in previews if name in preview.columns]
        if not cells:
            columns = ", ".join(previews[0].columns)
            raise MissingColumnError(f"{previews[0].path}: --exclude {name} is not a column; wanted one of {columns}")
        num_rows = sum(int(is_excluded(column, list(reasons)).sum()) for column in cells)
        evidence = f"{'; '.join(dict.fromkeys(reasons.values()))}; {num_rows} rows are left out"
        guesses.append(Guess(f"exclude {name}", ", ".join(reasons), evidence))
    return guesses
