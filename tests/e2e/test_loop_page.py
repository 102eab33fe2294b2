"""The loop's page in a real browser: a person sees what was decided and why, and reaches the charts of the window."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from monitoring.report.evidently_page import write_window_page
from monitoring.report.loop_history import write_loop_page
from monitoring.report.served_lists import ServedLists
from monitoring.report.window_sample import sample_window
from tests.e2e.test_report_page import CHROMIUM, FLAGS, WIDTHS, assert_text_stands_out, opened, scroll_widths
from tierrec_core.base import artifacts
from tierrec_core.base.contracts import EVENTS, ITEMS
from tierrec_core.data.interactions import from_days

TIERS = ("light", "medium", "heavy")
HOSTILE = "</script><script>window.broken = 1</script>"
REASON = f"heavy: category {HOSTILE!r} 50.0% -> 10.0% of their events (p .0001, effect .93 > .05)"
CHAMPION, CHALLENGER = "tierrec:70cfe279bebfe5a9", "tierrec:99cfe279bebfe5a9"
END = 19_800.0
FAULT = {
    "what": "days are missing",
    "found": "5 of 28 days have under 10% of their usual events",
    "wanted": "fewer than 2",
}


def finding(family: str, tier: str, effect: float, alarm: bool, what: str = "events a user") -> dict:
    return {
        "family": family,
        "tier": tier,
        "what": what,
        "before": 0.5,
        "after": 0.1,
        "effect": effect,
        "threshold": 0.05,
        "p_value": 0.0001,
        "adjusted": 0.0005,
        "alarm": alarm,
    }


def decision(weeks_ago: int) -> dict:
    end = END - 7 * weeks_ago
    day = f"{from_days(end):%Y-%m-%d}"
    state = {0: "drift", 3: "fault"}.get(weeks_ago, "steady")
    return {
        "at": f"{day}T06:00:00+00:00",
        "window": {"start": f"{from_days(end - 28):%Y-%m-%d}", "end": day},
        "state": state,
        "act": {"drift": "retrain", "fault": "fault", "steady": "none"}[state],
        "reasons": [REASON] * 6 if state == "drift" else ["nothing moved"],
        "model": "tierrec-bundle:ad326339e84201a6",
        "key": f"{weeks_ago:016x}",
        "page": f"windows/{day}/drift.html" if weeks_ago == 0 else None,
        "findings": [
            finding("shares", "heavy", 0.93 if weeks_ago == 0 else 0.03, weeks_ago == 0, HOSTILE),
            finding("volume", "light", -0.02, False),
        ],
        "faults": [FAULT] if state == "fault" else [],
    }


def interval(low: float, high: float, users: int) -> dict:
    return {"value": (low + high) / 2, "ci": [low, high], "users": users}


GATE = {
    "champion": CHAMPION,
    "challenger": decision(0)["key"],
    "verdict": "worse",
    "passed": False,
    "tiers": TIERS,
    "window": decision(0)["window"],
    "checks": [
        {"name": "next: NDCG@10", "found": "+0.0200 [+0.0100, +0.0300]", "wanted": ">= -0.004", "passed": True},
        {"name": "next, heavy users: NDCG@10", "found": "-0.0300", "wanted": ">= -0.02", "passed": False},
    ],
    "tasks": {
        "next": {
            "users": 225,
            "overall": {"value": 0.02, "ci": [0.01, 0.03]},
            "by_tier": {"heavy": interval(-0.04, -0.02, 57), "light": interval(-0.01, 0.02, 70)},
        }
    },
}
RELEASES = [
    {
        "tag": CHALLENGER,
        "model": "tierrec-bundle:1",
        "at": "2024-03-18T08:00:00+00:00",
        "revision": "a1b2c3d4e5f60718293a",
        "reason": "; ".join([REASON] * 3),
        "state": "rolled back",
        "gate": None,
        "changes": [{"at": "2024-03-19T08:00:00+00:00", "state": "rolled back", "reason": "purchase rate -4.0%"}],
    },
    {"tag": CHAMPION, "at": "2024-01-01T08:00:00+00:00", "revision": None, "reason": "first", "state": "released"},
]
RETRAIN = {"key": decision(0)["key"], "state": "rejected", "error": "next, heavy users: NDCG@10: -0.0300"}


def log(seed: int, moved: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    size = 3000
    frame = pd.DataFrame(
        {
            "user_id": [f"u{one}" for one in rng.integers(60, size=size)],
            "item_id": rng.choice(["a", "b", "c"], size, p=[0.5 - moved, 0.3, 0.2 + moved]),
            "event": "purchase",
            "timestamp": from_days(END - 28) + pd.to_timedelta(rng.uniform(0, 28, size), unit="D"),
            "value": rng.gamma(2.0, 2.0, size),
        }
    )
    return EVENTS.conform(frame, "test")


def write_window(folder: Path) -> None:
    items = ITEMS.conform(pd.DataFrame({"item_id": list("abc"), "category": [HOSTILE, "y", "z"]}), "test")
    tier_of = {f"u{number}": TIERS[number % 3] for number in range(60)}
    before, after = (
        sample_window(log(seed, moved), items, tier_of, END - 28, END, 10_000, 0)
        for seed, moved in ((0, 0.0), (1, 0.4))
    )
    lists = pd.DataFrame({"user_id": ["u1"] * 3, "item_id": list("abc"), "rank": [1, 2, 3]})
    truth = pd.DataFrame({"user_id": ["u1"], "item_id": ["b"]})
    write_window_page(before, after, TIERS, folder, END, served=ServedLists(lists, truth))


@pytest.fixture(scope="module")
def index(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("project") / "data" / "loop"
    looks = [decision(weeks) for weeks in range(24)]
    for look in looks:
        artifacts.write_json(look, folder / "decisions" / f"{look['window']['end']}-{look['key']}.json")
    write_window(folder / "windows" / looks[0]["window"]["end"])
    serving = {"champion": CHAMPION, "challenger": CHALLENGER, "share": 0.2}
    write_loop_page(looks, [GATE], RELEASES, folder / "index.html", retrains=[RETRAIN], serving=serving)
    return folder / "index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, index: Path) -> Iterator[Page]:
    page, _ = opened(browser, index)
    yield page
    page.close()


def test_asks_for_nothing_but_itself_and_complains_of_nothing(browser, index):
    page, noise = opened(browser, index)
    page.close()
    assert [line for line in noise if not line.startswith("data:")] == [index.as_uri()]


def test_fits_the_width_of_the_screen(page):
    for details in page.locator("details").all():
        details.evaluate("one => one.open = true")
    assert scroll_widths(page) == {width: width for width in WIDTHS}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, index, scheme):
    page, _ = opened(browser, index, scheme=scheme)
    selectors = ("h2", "p.soft", "td.better", "td.worse", ".chip.fail", ".chip.quarantined", ".chip.pass", "a")
    assert_text_stands_out(page, scheme, [f"section {name}" for name in selectors])
    page.close()


def test_a_person_sees_at_once_what_was_decided_why_and_what_came_of_it(page):
    tiles = page.locator("header .tile").all_inner_texts()
    assert [tile.split("\n")[1] for tile in tiles] == [
        decision(0)["window"]["end"], "drift", "retrain", CHAMPION, "2",
    ]  # fmt: skip
    assert f"challenger {CHALLENGER} serves 20%" in tiles[3]
    newest = page.locator("#newest").inner_text()
    assert REASON in newest
    assert "Retrain: rejected" in newest
    assert "next, heavy users: NDCG@10: -0.0300" in newest


def test_what_moved_most_is_told_with_its_limit(page):
    rows = page.locator("#findings tbody tr")
    assert rows.first.locator("th, td").all_inner_texts() == [
        "heavy", HOSTILE, "50.0%", "10.0%", "+0.930", "0.050", "0.0005", "alarm",
    ]  # fmt: skip
    assert rows.nth(1).locator("td").last.inner_text() == "within the limit"


def test_a_person_reaches_the_charts_of_the_window_and_comes_back(browser, index):
    page, noise = opened(browser, index)
    page.locator("#newest").get_by_role("link", name="Charts of the window").click()
    assert page.locator("h1").inner_text() == f"The window up to {decision(0)['window']['end']}"
    charts = page.frame_locator("#charts")
    charts.get_by_text("Drift is detected for").wait_for()  # what Evidently draws once its script has run
    assert charts.get_by_text("category of heavy users").count() > 0
    assert charts.get_by_text(re.compile("NDCG")).count() > 0
    assert [frame.evaluate("window.broken") for frame in page.frames] == [None, None]
    page.get_by_role("link", name="The loop").click()
    assert page.locator("h1").inner_text() == "The loop"
    page.close()
    assert {line.split(":")[0] for line in noise if "://" in line[:9]} == {"file"}
    assert not [line for line in noise if "Error" in line]


def test_a_phone_can_move_the_charts_sideways(browser, index):
    folder = index.parent / "windows" / decision(0)["window"]["end"]
    page, _ = opened(browser, folder / "drift.html", width=390)
    page.frame_locator("#charts").get_by_text("Drift is detected for").wait_for()
    scroller = page.locator(".scroll", has=page.locator("#charts"))
    scroller.hover(position={"x": 100, "y": 10})
    page.mouse.wheel(400, 0)
    page.wait_for_function("document.querySelector('.scroll:has(#charts)').scrollLeft > 100")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_every_figure_of_a_decision_can_be_opened(page):
    page.locator("#decisions article").nth(3).get_by_role("link", name="All figures (JSON)").click()
    assert "5 of 28 days have under 10%" in page.locator("body").inner_text()


def test_older_decisions_are_behind_one_click(page):
    assert page.locator("#decisions article").count() == 20
    page.get_by_text("4 older").click()
    first = page.locator("#older tbody tr").first
    first.wait_for(state="visible")
    assert first.locator("th").inner_text() == decision(20)["window"]["end"]


def test_points_over_time_lie_where_effect_and_limit_say(page):
    chart = page.locator("#timeline figure").first
    assert chart.locator("figcaption").inner_text().split() == ["Categories", "1", "alarm"]
    limit = chart.locator(".limit").bounding_box()["y"]
    base = chart.locator("svg").bounding_box()
    heights = [one.bounding_box() for one in chart.locator("circle").all()]
    centres = [box["y"] + box["height"] / 2 for box in heights]
    assert len(centres) == 23
    assert max(centres) - min(centres) < 0.5
    # .03 beside a limit of .05, in a chart that reaches three limits
    scale = base["width"] / 320
    assert centres[0] - limit == pytest.approx((1 - 0.03 / 0.05) * 80 / 3 * scale, abs=1.5)
    assert chart.locator("path.alarm").bounding_box()["y"] < limit
    assert chart.locator("path.alarm title").text_content().endswith("19 times the limit")


def test_a_gates_intervals_are_drawn_where_they_lie(page):
    page.locator("#gates").scroll_into_view_if_needed()
    rows = page.locator(".differences tbody tr")
    assert [row.split("\n")[0].split(" ")[1] for row in rows.locator("th").all_inner_texts()] == [
        "all",
        "light",
        "heavy",
    ]
    axis = rows.first.locator(".interval").bounding_box()
    dot = rows.nth(2).locator(".dot").bounding_box()
    place = (dot["x"] + dot["width"] / 2 - axis["x"]) / axis["width"]
    assert place == pytest.approx(0.5 - 0.03 / 0.08, abs=0.01)
    assert rows.nth(2).locator("td").first.get_attribute("class") == "number worse"
    failed = page.locator("#gates article > p", has_text="failed").all_inner_texts()
    assert failed == ["failed next, heavy users: NDCG@10: -0.0300, wanted >= -0.02"]


def test_releases_tell_how_they_went_on(page):
    said = page.locator("#releases article").all_inner_texts()
    assert CHALLENGER in said[0]
    assert "2024-03-19 08:00: rolled back – purchase rate -4.0%" in said[0]
    assert "cannot be reproduced" in said[1]


def test_a_fault_is_told_as_what_was_found_and_wanted(browser, index, tmp_path):
    write_loop_page([decision(3)], [], [], tmp_path / "index.html")
    page, _ = opened(browser, tmp_path / "index.html")
    told = [*FAULT.values(), "-", "-", "-", "-"]  # what a former version did not record
    assert page.locator("#faults tbody tr").locator("th, td").all_inner_texts() == told
    assert page.locator("#newest h2").inner_text().startswith("Newest decision: fix the data first")
    assert page.get_by_role("link", name="Charts of the window").count() == 0
    page.close()


def test_names_from_the_data_are_shown_and_never_run(page):
    assert page.evaluate("window.broken") is None
    assert HOSTILE in page.locator("#findings").inner_text()
