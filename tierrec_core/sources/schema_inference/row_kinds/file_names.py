"""What the name of a file says its rows are, and the pattern by which later files of its kind are known."""

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from tierrec_core.base.contracts import RETURN
from tierrec_core.sources.schema_inference.event_names import (
    IGNORE,
    canonical_event,
    event_word,
    is_return_word,
    is_undone,
    words,
)
from tierrec_core.sources.tables import SUFFIX_KINDS

_SETS = {
    "without": "no non not without wo excl excluding ex minus sans ohne sin senza kein keine bez zonder",
    "cleaned": """removed removal remove removes delete deleted drop dropped excluded stripped filtered cleaned clean
        entfernt bereinigt""",
}
_WITHOUT, _CLEANED = (frozenset(text.split()) for text in _SETS.values())
_VOIDED = re.compile(r"storno\w*|stornierungen")
_OF_LISTS = ("cart", "favourite")
_MIN_LETTERS = 3


def file_event(path: Path) -> tuple[str, str]:
    """The event that the name of a file means, `return` or `ignore`, and its word; two empty texts for none or several.

    A folder counts where the file says nothing, and is called as events are. Words of what was left out, as in
    returns_removed and no_refunds, mean no event.
    """
    parts = _without_cleaning([word for word in words(path.stem) if not word.isdigit()])
    event, word = event_word(" ".join(parts))
    undone = next((part for part in parts if is_undone(part) and not is_return_word(part)), "")
    if found := _return_words(parts):
        return (RETURN, found[0]) if not event or word in found else ("", "")
    if undone:
        return IGNORE, undone
    if event:
        return event, word
    folder, of_folder = path.parent.name, words(path.parent.name)
    if of_folder and len(_return_words(of_folder)) == len(of_folder):
        return RETURN, folder
    return (of_it, folder) if (of_it := canonical_event(folder)) and of_it != IGNORE else ("", "")


def _return_words(parts: list[str]) -> list[str]:
    """The words of what takes purchases back: returns, avoirs, Stornos, credit notes."""
    notes = {"credit"} if re.search(r"\bcredit (note|memo)s?\b", " ".join(parts)) else set()
    return [part for part in parts if is_return_word(part) or part in notes or _VOIDED.fullmatch(part)]


def separating_pattern(path: Path, events: Mapping[Path, str]) -> str:
    """The first pattern that matches the file and none of another event; its path where there is none.

    The word of its event alone comes first, then that word with another one, then others; the shortest of each first.
    """
    others = [other for other, event in events.items() if event != events[path]]
    return next(
        (
            pattern
            for pattern in _patterns(path)
            if path.match(pattern) and not any(other.match(pattern) for other in others)
        ),
        path.as_posix(),
    )


def _patterns(path: Path) -> Iterator[str]:
    tokens = [token for token in re.findall(r"[^\W\d_]+", path.stem) if len(token) >= _MIN_LETTERS]
    tokens = [token for token in tokens if f".{token.lower()}" not in SUFFIX_KINDS]
    _, word = file_event(path)
    own = [token for token in tokens if word and word in "".join(words(token))]
    for token in own:
        yield from (f"*{token}*", f"{token}*", f"*{token}{path.suffix}")
        yield from (f"*{token}{mark}[0-9]*" for mark in ("", "-", "_", " "))
    pairs = sorted((f"*{one}*{other}*" for one, other in combinations(tokens, 2)), key=len)
    yield from (pair for pair in pairs if any(token in pair for token in own))
    yield from (f"*{token}*" for token in sorted(tokens, key=len) if token not in own)
    yield from pairs
    if path.parent.name:
        yield f"{path.parent.name}/*"


def _without_cleaning(parts: list[str]) -> list[str]:
    """The words of a name without those of what was left out: returns removed, no refunds, removed dups.

    A word such as removed stays where events or lists of users are its object: deleted orders, removed from cart.
    """
    left_out = {place for start, word in enumerate(parts) if word in _WITHOUT for place in (start, start + 1)}
    kinds = [canonical_event(word) for word in parts]
    if not any(kind in _OF_LISTS for kind in kinds):
        for place, word in enumerate(parts):
            undone = [n for n, other in enumerate(parts) if n != place and (is_undone(other) or is_return_word(other))]
            following = place + 1 < len(parts)
            is_object = bool(undone) or (len(parts) > 1 and not kinds[place + 1 if following else place - 1])
            if word in _CLEANED and is_object:
                left_out |= {place, *undone}
    return [word for place, word in enumerate(parts) if place not in left_out]
