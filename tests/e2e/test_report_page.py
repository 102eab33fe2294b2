"""The report's page in a real browser: it reads well, sorts, fits a phone and asks nothing of the network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from monitoring.report.report import run
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.data.splits import SplitLog
from tierrec_core.settings import Settings, TaskSettings

CHROMIUM = "/usr/bin/chromium"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
TIERS = {"light": 0.8, "medium": 1.0, "heavy": 1.3}
NEXT = {"blend": 0.3855, "repeat": 0.3627, "ease": 0.2546, "als": 0.1949, "sasrec": 0.2211, "popularity": 0.1618}
DISCOVERY = {"blend": 0.103, "ease": 0.0888, "als": 0.0858, "popularity": 0.0729, "repeat": 0.0121}
WIDTHS = (1280, 768, 390, 320)
HOSTILE = "<script>window.broken = 1</script>"
LONG_NAME = "COUPON/MISC ITEMS + ICE CREAM/MILK/SHERBTS + WATER - CARBONATED/FLVRD DRINK"
SETTINGS = Settings.model_validate({"tasks": {"next": {"horizon_days": 7}}, "models": {}})


def block(value: float, width: float, users: int) -> dict:
    return {"ndcg@10": value, "ndcg@10_ci": [value - width, value + width], "users": users}


def leaderboard(figures: dict[str, float], width: float, baseline: str) -> dict:
    models = {}
    for model, value in figures.items():
        delta = value - figures[baseline]
        models[model] = block(value, width, 1704) | {
            "recall@10": value / 2.4,
            "mrr@10": value * 1.2,
            "hit@10": min(1.0, value * 1.9),
            "coverage@10": 0.331 - value / 2,
            "ndcg@20": value * 0.96,
            "recall@20": value / 1.7,
            "by_tier": {tier: block(value * gain, 1.6 * width, 568) for tier, gain in TIERS.items()},
            "delta_ndcg@10": {"against": baseline, "value": delta, "ci": [delta - 0.004, delta + 0.004]},
        }
    return models


def rule(name: str, kind: str, status: str, found: float, wanted: str, examples: tuple[str, ...] = ()) -> dict:
    return {
        "rule": name,
        "kind": kind,
        "status": status,
        "found": found,
        "wanted": wanted,
        "unexpected": int(found),
        "share": None,
        "examples": list(examples),
        "error": "",
    }


VALIDATION = {
    "passed": True,
    "rows": {"raw": 1_469_307, "valid": 1_469_239, "quarantined": 68},
    "measures": {
        "num_events": 1_469_239,
        "num_users": 2469,
        "num_items": 68_509,
        "oldest_event": "2017-01-01T11:53:26+00:00",
        "newest_event": "2018-01-01T04:01:20+00:00",
        "bad_share": 0.0000463,
        "duplicate_share": 0.0,
        "quiet_days_share": 0.0027,
    },
    "quarantine": {"value_finite": 60, "event_known; value_finite": 8},
    "rules": [
        rule("user_id_not_null", "row", "PASS", 0, "user_id is filled: who"),
        rule("event_known", "row", "FAIL", 8, "event is one of view, cart, purchase", (f"row 8: {HOSTILE}",)),
        rule("value_finite", "row", "FAIL", 68, "value is a finite number, 0 or more", ("row 5: inf",)),
        rule("bad_share", "table", "PASS", 0.0000463, "at most 0.05: share of rows in quarantine"),
        rule("duplicate_share", "table", "PASS", 0.0, "at most 0.05: share of rows that repeat an earlier one"),
    ],
}
PREPARATION = {
    "rows_in": 1_469_239,
    "rows_out": 1_460_103,
    "dropped": {"duplicates": 0, "returns": 8136, "bots": 1000},
    "users": 2469,
    "sessions": 155_848,
}
TIERS_REPORT = {
    "snapshot": "2017-11-01",
    "method": "quantile",
    "cuts": [4.554, 5.864],
    "tiers": {
        "heavy": {"users": 457, "share_of_users": 0.1874, "share_of_spend": 0.5449},
        "light": {"users": 1068, "share_of_users": 0.4379, "share_of_spend": 0.0776},
        "medium": {"users": 914, "share_of_users": 0.3747, "share_of_spend": 0.3775},
    },
    "stability": {"ari_mean": 0.9633, "ari_min": 0.9289},
    "eta_squared_next_28_days": {"2017-04-26": 0.5453, "2017-06-28": 0.4974, "2017-08-30": 0.5085},
    "monthly": {
        "months": 8,
        "change_share": 0.0862,
        "change_share_without_hysteresis": 0.1523,
        "transitions": {
            "heavy": {"heavy": 0.9303, "light": 0.0003, "medium": 0.0694},
            "light": {"heavy": 0.0001, "light": 0.9253, "medium": 0.0745},
            "medium": {"heavy": 0.0286, "light": 0.0782, "medium": 0.8932},
        },
    },
    "layers": [
        {
            "name": LONG_NAME,
            "share_of_events": 0.1256,
            "items_by_lift": 1543,
            "items_by_content": 2664,
            "users_with_top_interest": 186,
        },
        {
            "name": "CHEESE + BEEF + SOUP",
            "share_of_events": 0.26,
            "items_by_lift": 2760,
            "users_with_top_interest": 1246,
        },
    ],
}
BLEND_REPORT = {
    "next": {
        "valid_ndcg@10": 0.381,
        "feature_importance": {"count_90d": 51.0, "score_repeat": 30.5, "days_overdue": 12.5, "score_ease": 6.0},
    },
    "discovery": {"valid_ndcg@10": 0.101, "feature_importance": {"rank_ease": 36.0, "popularity_14d": 20.0}},
}
AUDIT = {
    "exposure_gini": 0.912,
    "popularity": {"list": 0.31, "history": 0.22},
    "diversity": 0.81,
    "by_demographic": {"age": {"19-24": block(0.33, 0.03, 46), "65+": block(0.41, 0.02, 72)}},
}
METRICS = {
    "next": leaderboard(NEXT, 0.013, "repeat"),
    "discovery": leaderboard(DISCOVERY, 0.005, "ease"),
    "tiers": {"sizes": {"light": 1068, "medium": 914, "heavy": 457}},
    "audit": {"next": AUDIT},
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory, events) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("project"))
    artifacts.write_json(VALIDATION, layout.validation)
    artifacts.write_json(PREPARATION, layout.preparation)
    artifacts.write_json(TIERS_REPORT, layout.tiers_report)
    artifacts.write_json(BLEND_REPORT, layout.blend_report)
    artifacts.write_json(METRICS, layout.metrics)
    tasks = {"next": TaskSettings(horizon_days=7, step_days=7)}
    artifacts.save(SplitLog.cut(events, SETTINGS.split, tasks), layout.split)
    layout.data_docs.mkdir(parents=True)
    (layout.data_docs / "index.html").write_text("<h1>Data Docs</h1>")
    run(layout, SETTINGS)
    return layout


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, report: Path, width: int = 1280, scheme: str = "light") -> tuple[Page, list[str]]:
    """The page, and everything that it complained of or asked for while loading."""
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    noise: list[str] = []
    page.on("pageerror", lambda error: noise.append(str(error)))
    page.on("console", lambda message: noise.append(message.text))
    page.on("request", lambda request: noise.append(request.url))
    page.goto(report.as_uri())
    return page, noise


def scroll_widths(page: Page) -> dict[int, int]:
    """The width that the page takes on screens of each of WIDTHS."""
    found = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        found[width] = page.evaluate("document.documentElement.scrollWidth")
    return found


def assert_text_stands_out(page: Page, scheme: str, selectors: list[str]) -> None:
    """The first element of each selector has the contrast of WCAG 2.2 with the ground, whose brightness fits."""
    ground = page.locator("section").first.evaluate("e => getComputedStyle(e).backgroundColor")
    assert (luminance(ground) < 0.5) == (scheme == "dark")
    for selector in selectors:
        ink = page.locator(selector).first.evaluate("e => getComputedStyle(e).color")
        dark, bright = sorted([luminance(ink), luminance(ground)])
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, selector


def column(page: Page, table: str, index: int) -> list[str]:
    return page.locator(f"#{table} tbody tr > :nth-child({index})").all_inner_texts()


def luminance(colour: str) -> float:
    """Relative luminance of a CSS rgb() colour (WCAG 2.2)."""
    channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * channel for weight, channel in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_asks_for_nothing_but_itself_and_complains_of_nothing(browser, layout):
    _, noise = opened(browser, layout.report)
    assert [line for line in noise if not line.startswith("data:")] == [layout.report.as_uri()]


def test_fits_the_width_of_the_screen(browser, layout):
    page, _ = opened(browser, layout.report)
    assert scroll_widths(page) == {width: width for width in WIDTHS}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_light_and_dark(browser, layout, scheme):
    page, _ = opened(browser, layout.report, scheme=scheme)
    selectors = ("h1", "p.soft", "th[scope=row]", "thead th", "td.better", "td.worse", ".chip", "a")
    assert_text_stands_out(page, scheme, [f"section {name}, header > {name}" for name in selectors])


def test_leaderboard_is_ranked_by_the_main_metric(browser, layout):
    page, _ = opened(browser, layout.report)
    assert column(page, "board-next", 1) == sorted(NEXT, key=NEXT.get, reverse=True)
    assert column(page, "board-discovery", 1) == sorted(DISCOVERY, key=DISCOVERY.get, reverse=True)


def test_a_click_sorts_by_the_column_and_a_second_one_turns_it_round(browser, layout):
    page, _ = opened(browser, layout.report)
    coverage = page.get_by_role("button", name="Coverage@10").first
    coverage.click()
    assert column(page, "board-next", 1) == sorted(NEXT, key=NEXT.get)
    coverage.click()
    assert column(page, "board-next", 1) == sorted(NEXT, key=NEXT.get, reverse=True)
    page.get_by_role("button", name="Model").first.click()
    assert column(page, "board-next", 1) == sorted(NEXT, reverse=True)


def test_dots_lie_on_the_axis_where_their_values_say(browser, layout):
    page, _ = opened(browser, layout.report)
    axis = page.locator("#board-next .interval").first.bounding_box()
    dots = [dot.bounding_box() for dot in page.locator("#board-next .dot").all()]
    centres = [(dot["x"] + dot["width"] / 2 - axis["x"]) / axis["width"] for dot in dots]
    top = NEXT["blend"] + 0.013
    assert centres == pytest.approx([value / top for value in sorted(NEXT.values(), reverse=True)], abs=0.01)


def test_tiers_run_from_light_to_heavy(browser, layout):
    page, _ = opened(browser, layout.report)
    heads = page.locator("#tiers-next thead th").all_inner_texts()
    assert [head.split()[0] for head in heads] == ["Model", "Light", "Medium", "Heavy"]
    assert [
        float(cell.split()[0]) for cell in page.locator("#tiers-next tbody tr").first.locator("td").all_inner_texts()
    ] == (pytest.approx([NEXT["blend"] * gain for gain in TIERS.values()], abs=1e-4))


def test_names_from_the_data_are_shown_and_never_run(browser, layout):
    page, _ = opened(browser, layout.report)
    assert HOSTILE in page.locator("#rules").inner_text()
    assert page.evaluate("window.broken") is None


def test_shows_what_each_stage_reported(browser, layout):
    text = opened(browser, layout.report)[0].locator("main").inner_text()
    for fact in (
        "1,469,307 rows were read",
        "8,136",
        LONG_NAME,
        "days_overdue",
        "2024-04-08",
        "0.9633",
        "Exposure gini",
    ):
        assert fact in text


def test_the_door_to_data_docs_opens(browser, layout):
    page, _ = opened(browser, layout.report)
    page.get_by_role("link", name="Data Docs").click()
    assert page.locator("h1").inner_text() == "Data Docs"


def test_a_run_that_stopped_early_still_has_a_page(browser, layout, tmp_path):
    early = Layout(tmp_path)
    artifacts.write_json(json.loads(layout.validation.read_text()) | {"passed": False}, early.validation)
    run(early, SETTINGS)
    page, _ = opened(browser, early.report)
    assert "refused" in page.locator("header").inner_text()
    assert page.locator("section").count() == 2


def test_the_same_artefacts_give_the_same_bytes(layout):
    before = layout.report.read_bytes()
    run(layout, SETTINGS)
    assert layout.report.read_bytes() == before


def test_a_damaged_report_is_named(tmp_path):
    layout = Layout(tmp_path)
    layout.metrics.parent.mkdir(parents=True)
    layout.metrics.write_text("{")
    with pytest.raises(ArtifactError, match=r"metrics\.json: cannot be read .*; rerun the stage that writes it"):
        run(layout, SETTINGS)
    assert not layout.report.exists()
