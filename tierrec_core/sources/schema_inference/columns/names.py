"""How well the name of a column fits a role, by its words in any language."""

import re
import unicodedata
from functools import cache

from tierrec_core.sources.schema_inference.columns.words import SYNONYMS, TRANSLATIONS
from tierrec_core.sources.schema_inference.event_names import is_deduction, is_kind_name, plain, words

_EXACT, _PART, _PER_RANK = 1.0, 0.6, 0.005
_LABEL = {"user": 0.3, "item": 0.45}  # of names of users and items, in place of _PART
_LINKS = ("", "s", "n", "en", "es")  # between the parts of a compound
_MIN_PART = 2
_LETTERS = str.maketrans("°ı", "oi")
_SETS = {
    "ratings": "rating stars overall score",
    "labels": "name title description",
    "not of ids": """price amount total value revenue quantity currency date datetime time timestamp hour day rating
        type kind status subtotal discount tax cost count weight size colour color url image category brand""",
    "times": "date datetime time timestamp tstamp ts hour day month year created updated zeit heure",
    "not of orders": """product item article sku customer user channel person rep representative employee staff
        cashier terminal campaign region""",
}
_RATINGS, _LABELS, _NO_ID, _TIMES, _NO_ORDER = (frozenset(text.split()) for text in _SETS.values())
_LINE_IDS = (frozenset({"order", "item", "id"}), frozenset({"line", "item", "id"}), frozenset({"lineitem", "id"}))


def _key(word: str) -> str:
    return "".join(words(word))


_ENGLISH = {
    word: word for names in SYNONYMS.values() for name in names.split() for word in words(name) if word.isalpha()
}
_ENGLISH |= {_key(word): english for english, others in TRANSLATIONS.items() for word in (english, *others.split())}


def header_words(column: str) -> tuple[str, ...]:
    """The words of a column's name, in English where they are known: `Nr zamówienia` is id, order."""
    text = unicodedata.normalize("NFKC", re.sub(r"^#\s", "id ", re.sub(r"[\"״]", "", column.translate(_LETTERS))))
    parts = ["".join(words(text))] if "".join(words(text)) in _ENGLISH else words(text)
    return tuple(english for word in parts for english in _translated(word) if english)


@cache
def _translated(word: str) -> tuple[str, ...]:
    """The word in English, or the words of a compound that is known; else the word itself."""
    if word in _ENGLISH:
        return (_ENGLISH[word],)
    if word.isascii():
        return _compound(word) or (word,)
    found, start = list[str](), 0
    while start < len(word):
        end = next((end for end in range(len(word), start, -1) if word[start:end] in _ENGLISH), None)
        found += [_ENGLISH[word[start:end]]] if end else []
        start = end or start + 1
    return tuple(found) or (word,)


def _compound(word: str) -> tuple[str, ...]:
    """The English words of a compound such as Kundennummer; empty unless it consists of known words."""
    for end in range(len(word) - _MIN_PART, _MIN_PART - 1, -1):
        head, rest = _ENGLISH.get(word[:end]), word[end:]
        for link in _LINKS if head else ():
            tail = rest.removeprefix(link) if rest.startswith(link) else ""
            if len(tail) >= _MIN_PART and (parts := (_ENGLISH[tail],) if tail in _ENGLISH else _compound(tail)):
                return (str(head), *parts)
    return ()


_PLAIN_NAMES = {role: [plain(name) for name in names.split()] for role, names in SYNONYMS.items()}
_WORD_SETS = {role: [frozenset(header_words(name)) for name in names.split()] for role, names in SYNONYMS.items()}
TYPE_SCORE = _PART - _PER_RANK * _PLAIN_NAMES["event"].index("type")  # of a name with this word: perhaps of products


def name_score(role: str, column: str) -> float:
    """1 for the likeliest name of the role, slightly less for others, about 0.6 for a part of the name, else 0.

    Names of users and items, such as Product name, have less as ids; their prices, times and the like have 0.
    """
    plain_name, found = plain(column), frozenset(header_words(column))
    if plain_name in _PLAIN_NAMES[role]:
        return _EXACT - _PER_RANK * _PLAIN_NAMES[role].index(plain_name)
    if (role in ("item", "session") and is_kind_name(column)) or (role == "value" and is_deduction(column)):
        return 0.0
    if found in _WORD_SETS[role]:
        return _EXACT - _PER_RANK * _WORD_SETS[role].index(found)
    rank = next((rank for rank, name in enumerate(_WORD_SETS[role]) if name <= found), None)
    if rank is None or not _may_have_ids(role, found):
        return 0.0
    return (_LABEL[role] if role in _LABEL and found & _LABELS else _PART) - _PER_RANK * rank


def _may_have_ids(role: str, found: frozenset[str]) -> bool:
    """Whether a name with these words may be of the ids of the role; of other roles, too."""
    if role not in ("user", "item", "session"):
        return True
    return not (found & _NO_ID or found in _LINE_IDS or (role == "session" and found & _NO_ORDER))


def is_exact(score: float) -> bool:
    """Whether the score of a name is that of a whole one."""
    return score > _PART


def is_user_name(column: str) -> bool:
    """Whether columns of users are called so."""
    return is_exact(name_score("user", column))


def is_rating_name(column: str) -> bool:
    """Whether columns of ratings are called so, such as Book-Rating."""
    return not _RATINGS.isdisjoint(header_words(column))


def is_time_name(column: str) -> bool:
    """Whether the name has a word of times, such as client_event_time, and is no name of ids."""
    of_ids = any(is_exact(name_score(role, column)) for role in ("user", "item"))
    return not of_ids and not _TIMES.isdisjoint(header_words(column.rpartition(".")[2]))
