"""The cursor of a paged list: which items earlier pages showed, so that none comes twice, whatever has changed since.

An offset would show items twice as soon as a fresh event or a new release moves them. A cursor holds 32 bits of a
hash of each item shown; two items whose bits agree, one in four billion pairs, cost a list the second.
"""

import base64
import binascii
import zlib
from collections.abc import Iterable

import numpy as np

from tierrec_core.base.contracts import IntArray
from tierrec_core.base.errors import DataError

_MAX_ITEMS = 5000


def hash_ids(item_ids: Iterable[str]) -> IntArray:
    """32 bits of each item id, [N] uint32."""
    return np.fromiter((zlib.crc32(one.encode()) for one in item_ids), np.uint32)


def encode(seen: IntArray) -> str:
    """A cursor for these hashes [N]; the empty text where a next page would be one too many."""
    if len(seen) > _MAX_ITEMS:
        return ""
    return base64.urlsafe_b64encode(seen.astype("<u4").tobytes()).decode()


def decode(cursor: str) -> IntArray:
    """The hashes of what was shown, [N]. Raises DataError for what is no cursor of ours."""
    try:
        content = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        seen: IntArray = np.frombuffer(content, "<u4")
    except (binascii.Error, ValueError) as error:
        raise DataError(
            f"cursor: is damaged ({error}); send the one of the answer before, or none"
        ) from error
    return seen
