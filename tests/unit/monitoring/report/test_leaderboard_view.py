"""metrics.json as leaderboards: order, axis, signs, and figures that are not there."""

import re

import pytest

from monitoring.report.json_blocks import order_keys
from monitoring.report.leaderboard_view import FigureWithInterval, LeaderboardTable, read_boards
from monitoring.report.report import render_report

NEXT = {
    "popularity": {"ndcg@10": 0.16, "ndcg@10_ci": [0.15, 0.17], "users": 100},
    "blend": {
        "ndcg@10": 0.38,
        "ndcg@10_ci": [0.36, 0.40],
        "recall@10": 0.16,
        "ndcg@20": 0.37,
        "by_tier": {
            "heavy": {"ndcg@10": 0.5, "users": 20},
            "light": {"ndcg@10": 0.3, "users": 40},
            "medium": {"ndcg@10": 0.4, "users": 40},
        },
        "delta_ndcg@10": {"against": "popularity", "value": 0.22, "ci": [0.20, 0.24]},
        "users": 100,
    },
}


def test_the_best_is_first_and_the_axis_ends_at_the_furthest_interval():
    board = LeaderboardTable.of("next", NEXT)
    assert [entry.model for entry in board.entries] == ["blend", "popularity"]
    assert board.metric == "ndcg@10"
    assert board.top == 0.40
    assert board.percent(0.20) == 50.0


def test_columns_are_metrics_and_nothing_else():
    board = LeaderboardTable.of("next", NEXT)
    assert board.columns == ("recall@10",)
    assert board.further == ("ndcg@20",)


def test_the_baseline_is_the_model_that_others_name():
    assert LeaderboardTable.of("next", NEXT).baseline.model == "popularity"


def test_tiers_have_the_order_of_the_metrics_and_heat_spans_them():
    board = LeaderboardTable.of("next", order_keys(NEXT, ("light", "medium", "heavy")))
    assert board.tiers == ("light", "medium", "heavy")
    assert [board.heat(board.entries[0].tiers[tier].value) for tier in board.tiers] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("low", "high", "sign"),
    [(0.01, 0.02, "better"), (-0.02, -0.01, "worse"), (-0.01, 0.01, "even"), (0.0, 0.1, "even"), (None, None, "even")],
)
def test_a_difference_is_one_only_when_its_interval_leaves_zero_out(low, high, sign):
    assert FigureWithInterval(0.0, low, high).sign == sign


def test_parts_of_metrics_that_hold_no_model_make_no_board():
    boards = read_boards({"tiers": {"sizes": {"light": 3}}, "discovery": NEXT, "next": NEXT, "version": 1})
    assert [board.task for board in boards] == ["next", "discovery"]


def test_a_model_without_the_main_figure_is_left_out():
    board = LeaderboardTable.of("next", NEXT | {"broken": {"recall@10": 0.1}})
    assert [entry.model for entry in board.entries] == ["blend", "popularity"]


def rendered(tier_names: tuple[str, ...], **reports: dict) -> str:
    empty = {"validation": {}, "preparation": {}, "windows": None, "tiers": {}, "blend": {}, "metrics": {}}
    return render_report(tier_names, **empty | reports)


@pytest.mark.parametrize("names", [("regular", "casual"), ("often", "daily", "rare", "seldom")])
def test_the_page_has_the_tiers_of_the_project_in_their_order(names):
    by_tier = {name: {"ndcg@10": 0.3, "users": 20} for name in sorted(names)}
    sizes = {name: {"users": number} for number, name in enumerate(sorted(names))}
    page = rendered(names, metrics={"next": {"blend": NEXT["blend"] | {"by_tier": by_tier}}}, tiers={"tiers": sizes})
    board = re.findall(r'text-align: center">(\w+)<br>', page)
    rows = re.findall(r'<th scope="row">(\w+)</th>\s*<td class="number">\d', page)
    assert board == rows == [name.capitalize() for name in names]
    assert f"{', '.join(names)}: users by recent activity" in page


def test_the_page_shows_what_each_tier_and_group_is_shown_with_its_interval():
    audit = {
        "exposure_gini": 0.91,
        "by_tier": {
            tier: {"users": 20, "exposure_gini": gini, "exposure_gini_ci": [gini - 0.01, gini + 0.01]}
            for tier, gini in (("heavy", 0.93), ("light", 0.97))
        },
        "by_demographic": {
            "age": {"65+": {"users": 30, "ndcg@10_beside_tier": -0.0123, "ndcg@10_beside_tier_ci": [-0.02, 0.01]}}
        },
    }
    page = rendered(("light", "medium", "heavy"), metrics={"audit": {"next": audit}})
    assert page.index("Light") < page.index("Heavy"), "tiers go from light to heavy"
    for said in ("0.9700", "0.96, 0.98", "-0.0123", "-0.02, 0.01", "beside tier"):
        assert said in page
