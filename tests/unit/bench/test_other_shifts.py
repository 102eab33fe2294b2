"""Figures of the further shifts, counted by hand."""

from benchmarks.drift.detection_trials import DetectionTrial
from benchmarks.drift.other_shifts import shift_figures


def trial(world: str, what: str, part: str, found: bool) -> DetectionTrial:
    return DetectionTrial(world, 0.0, what, part, "drift" if found else "steady", (), (), {"ours": found}, 0, 28.0)


def test_a_gradual_shift_is_found_by_the_window_of_its_first_alarm() -> None:
    alarms = {"a": (False, True, False), "b": (False, False, False), "c": (True, True, True), "d": (False, False, True)}
    trials = [
        trial(world, "gradual", f"window {look}", found)
        for world, looks in alarms.items()
        for look, found in enumerate(looks, 1)
    ]
    trials += [trial("a", "light users", kind, kind == "diffuse") for kind in ("concentrated", "diffuse")]
    found = shift_figures([*trials, trial("a", "season over", "", True)])
    assert [found[f"shift_gradual_found_{look}"] for look in (1, 2, 3)] == [0.25, 0.5, 0.75]
    assert (found["shift_light_found"], found["shift_light_found_trials"]) == (0.5, 2)
    assert (found["shift_season_over_found"], found["shift_gradual_found_3_trials"]) == (1.0, 4)
