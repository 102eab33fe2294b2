"""Which groups of users are large enough for their figures to be shown."""

import numpy as np

from tierrec_core.base.contracts import BoolArray, IntArray


def disclosed_groups(sizes: IntArray, minimum: int, ungrouped: int = 0) -> BoolArray:
    """Groups of at least `minimum` users, [G].

    Where all users that stay hidden are fewer, their figures would be what is left of the total; so the smallest shown
    groups are hidden, too, until the hidden users are none or at least `minimum` (complementary suppression).
    sizes: users of each group, [G]; ungrouped: users of no group, who are part of the total
    """
    shown = sizes >= minimum
    while shown.any() and 0 < sizes[~shown].sum() + ungrouped < minimum:
        shown[np.flatnonzero(shown)[sizes[shown].argmin()]] = False
    return shown
