"""Finds the columns of values and prices in cents and micros, by names and by objects of payment providers."""

import re
from collections.abc import Sequence

import pandas as pd

from tierrec_core.base.errors import MissingColumnError
from tierrec_core.sources.numbers import is_in_micros, minor_unit_divisors
from tierrec_core.sources.schema_inference.columns.roles import Guess
from tierrec_core.sources.schema_inference.event_names import plain, words
from tierrec_core.sources.schema_inference.file_roles import LogFile
from tierrec_core.sources.schema_inference.lookup_tables import LookupTable
from tierrec_core.sources.schema_inference.preview import FilePreview

_MINOR_TEXT = """cent cents centavo centavos centime centimes centesimi centimo centimos grosz grosze groszy ore oere
    haler haleru penny pence paisa paise kopek kopeks kopecks kopeck minor subunit subunits minorunits"""
_MINOR = frozenset(_MINOR_TEXT.split())
_NESTED = re.compile(r".*\.(unit_amount|amount_(total|subtotal|paid|due|captured))|(.*\.)?\w*money\.amount")
_AMOUNT = re.compile(r"(.*\.)?(amount|unit_amount|amount_(total|subtotal|paid|due|captured))")
_OBJECTS_TEXT = """charge payment_intent invoice invoiceitem line_item price refund balance_transaction"""
_OBJECTS = frozenset(_OBJECTS_TEXT.split())
_PROVIDER_ID = re.compile(r"(ch|pi|py|in|ii|il|li|cs|txn|price|re)_\w+")
_WHOLE = r"[+-]?\d+(\.0)?"


def minor_units(logs: Sequence[LogFile], catalogue: LookupTable | None, given: Sequence[str] | None) -> list[Guess]:
    """The columns of values and prices that are divided by 100, or by 1,000,000, each with what shows it.

    given: these columns instead. Raises MissingColumnError for a given one that is not of values or prices.
    """
    valued = [log for log in logs if "value" in log.roles]
    columns = [(log.preview, log.roles["value"].value, log.currencies("currency")) for log in valued]
    if catalogue and "price" in catalogue.columns:
        columns.append((catalogue.preview, catalogue.columns["price"].value, pd.Series([], dtype="string")))
    names = list(dict.fromkeys(name for _, name, _ in columns))
    if unknown := [name for name in given or () if name not in names]:
        raise MissingColumnError(
            f"{logs[0].preview.path}: --minor-units {unknown[0]} is not a column of values or prices; "
            f"wanted {' or '.join(names) or 'none'}"
        )
    found = dict[str, str]()
    for preview, name, codes in columns:
        shown = ("given" if name in given else "") if given is not None else _shown_by(preview, name, codes)
        found |= {name: shown} if shown else {}
    divisors = {name: "1,000,000" if is_in_micros(name) else "100" for name in found}
    return [Guess(f"minor_units {name}", f"divided by {divisors[name]}", shown) for name, shown in found.items()]


def _shown_by(preview: FilePreview, name: str, codes: pd.Series) -> str:
    """What shows that a column is in minor units; empty where nothing does, or it has fractions or no such currency."""
    cells = preview.sample[name].dropna()
    is_text = isinstance(cells.dtype, pd.StringDtype)
    is_whole = cells.str.fullmatch(_WHOLE) if is_text else pd.to_numeric(cells, errors="coerce") % 1 == 0
    known = codes.dropna()
    is_major = len(known) > 0 and bool((minor_unit_divisors(known, name) == 1).all())
    if not len(cells) or not is_whole.fillna(False).all() or is_major:
        return ""
    example = f"whole numbers such as {cells.iloc[0]}"
    if is_in_micros(name) or _MINOR & set(words(name)) or plain(name).endswith(("cents", "minorunits")):
        return f"{example}, by name"
    if _NESTED.fullmatch(name) or (_AMOUNT.fullmatch(name) and _is_of_provider(preview)):
        return f"{example}, by the names of a payment provider's objects"
    return ""


def _is_of_provider(preview: FilePreview) -> bool:
    """Whether the rows are objects of Stripe, whose amounts are in the smallest unit of the currency."""
    kinds, ids = (
        preview.sample[name].dropna().astype("string") if name in preview.columns else pd.Series([], dtype="string")
        for name in ("object", "id")
    )
    return bool((len(kinds) and kinds.isin(_OBJECTS).all()) or (len(ids) and ids.str.fullmatch(_PROVIDER_ID).all()))
