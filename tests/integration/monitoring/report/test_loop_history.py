"""The loop's page: the same records give the same bytes, and there is a page without records."""

import pytest

from monitoring.report.loop_history import write_loop_page


@pytest.mark.parametrize("reverse", [False, True])
def test_the_page_of_the_loop_has_the_same_bytes_whatever_the_order_of_its_records(tmp_path, reverse):
    finding = {"family": "shares", "tier": "all", "what": "<x>", "before": 0.1, "after": 0.2, "effect": 0.3}
    finding |= {"threshold": 0.1, "p_value": 0.001, "adjusted": 0.01, "alarm": True}
    decisions = [
        {
            "at": f"2024-03-{day:02d}T00:00:00+00:00",
            "window": {"start": "2024-01-01", "end": f"2024-02-{day:02d}"},
            "state": "drift",
            "act": "wait",
            "reasons": [f"category '<x>' of day {day}"],
            "model": "m",
            "key": f"k{day}",
            "findings": [finding],
            "faults": [],
        }
        for day in range(1, 29)
    ]
    releases = [
        {"tag": f"shop:{day}", "at": f"2024-03-{day:02d}", "revision": None, "reason": "r", "state": "released"}
        for day in (1, 2)
    ]
    write_loop_page(decisions, [], releases, tmp_path / "index.html")
    first = (tmp_path / "index.html").read_bytes()
    if reverse:
        decisions, releases = decisions[::-1], releases[::-1]
    write_loop_page(decisions, [], releases, tmp_path / "index.html")
    assert (tmp_path / "index.html").read_bytes() == first
    assert b"<x>" not in first
    assert b"&lt;x&gt;" in first
    assert b"8 older" in first


def test_a_loop_without_decisions_has_a_page(tmp_path):
    write_loop_page([], [], [], tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert "tierrec monitor" in page
    assert 'id="timeline"' not in page


@pytest.mark.parametrize(("low", "high", "shown"), [(0.06, 0.08, "fail"), (0.0, 0.04, "pass"), (0.0, 0.08, "")])
def test_the_page_shows_what_is_lost_without_a_retrain_against_its_worth(tmp_path, low, high, shown):
    loss = {"value": (low + high) / 2, "low": low, "high": high}
    decision = {
        "at": "2024-03-01T00:00:00+00:00",
        "window": {"start": "2024-01-01", "end": "2024-02-01"},
        "state": "steady",
        "act": "none",
        "reasons": ["no drift"],
        "model": "m",
        "key": "k",
        "findings": [],
        "faults": [],
        "value": {"canary": {"reason": ""}, "loss": loss, "worth": 0.05},
    }
    write_loop_page([decision], [], [], tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert f'Lost without a retrain</dt><dd class="{shown}">{loss["value"]:.3f}<small>{low:.3f} to {high:.3f}' in page
    assert "a retrain is worth 0.0500" in page
    for value in (None, {"canary": {"reason": "few users"}, "loss": None, "worth": 0.05}):
        write_loop_page([decision | {"value": value}], [], [], tmp_path / "index.html")
        assert "Lost without a retrain</dt><dd class=" not in (tmp_path / "index.html").read_text()
