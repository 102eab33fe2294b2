"""Groups of few users are hidden, and cannot be told from the total and the others."""

from itertools import product

import numpy as np
import pytest

from tierrec_core.evaluation.small_groups import disclosed_groups


@pytest.mark.parametrize("ungrouped", [0, 2, 7])
def test_no_figure_is_of_fewer_users(ungrouped: int) -> None:
    for sizes in map(np.array, product([0, 1, 4, 5, 9, 30], repeat=3)):
        shown = disclosed_groups(sizes, 5, ungrouped)
        hidden = sizes[~shown].sum() + ungrouped
        assert (sizes[shown] >= 5).all()
        assert hidden == 0 or hidden >= 5 or not shown.any()
        if (sizes[sizes > 0] >= 5).all() and (ungrouped == 0 or ungrouped >= 5):
            assert list(shown) == list(sizes >= 5)


def test_the_smallest_shown_group_hides_a_smaller_one() -> None:
    assert list(disclosed_groups(np.array([3, 40, 12, 90]), 10)) == [False, True, False, True]
    assert list(disclosed_groups(np.array([3, 40, 12, 90]), 10, ungrouped=8)) == [False, True, True, True]
