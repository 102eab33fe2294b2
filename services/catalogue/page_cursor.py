"""The cursor of a paged list: hashes of the items on earlier pages, so that no item is shown twice.

An offset would repeat items as soon as a new event or a new release moves them. A cursor holds a 32-bit hash of each
item shown; if two items have the same hash (one in four billion pairs), the second is not shown.
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
    """A 32-bit hash of each item id, [N] uint32."""
    return np.fromiter((zlib.crc32(item_id.encode()) for item_id in item_ids), np.uint32)


def encode(shown: IntArray) -> str:
    """The cursor for these hashes [N]; empty if there are too many for a cursor."""
    if len(shown) > _MAX_ITEMS:
        return ""
    return base64.urlsafe_b64encode(shown.astype("<u4").tobytes()).decode()


def decode(cursor: str) -> IntArray:
    """The hashes of the items shown, [N]. Raises DataError for an invalid cursor."""
    try:
        content = base64.b64decode(cursor.encode(), altchars=b"-_", validate=True)
        shown: IntArray = np.frombuffer(content, "<u4")
    except (binascii.Error, ValueError) as error:
        raise DataError(f"cursor: is damaged ({error}); send the cursor of the last answer, or none") from error
    return shown
