"""The figures of the drift benchmark as a page of Markdown: what was run, what came out, what did not work."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.drift import summary_stats
from benchmarks.drift.detection_trials import DetectionTrial
from monitoring.simulation.policies import POLICIES

_CALM = (summary_stats.PLACEBO, summary_stats.STATIONARY)
WANTED = (
    ("false_alarm_rate", "<= .05", lambda value: value <= 0.05),
    ("power_10", ">= .90", lambda value: value >= 0.9),
    ("power_20", "1", lambda value: value >= 1.0),
    ("power_40", "1", lambda value: value >= 1.0),
    ("broken_feed_named", "1", lambda value: value >= 1.0),
    ("bot_wave_named", "1", lambda value: value >= 1.0),
    ("faults_retrained", "0", lambda value: value <= 0.0),
    ("retrained_minus_frozen", "interval above 0", lambda value: value > 0.0),
    ("gate_worse_rejected", "1", lambda value: value >= 1.0),
    ("gate_aa_kept_identical", "1", lambda value: value >= 1.0),
    ("gate_aa_kept_other_seed", "1", lambda value: value >= 1.0),
    ("gate_aa_kept_other_users", "near 1", lambda value: value >= 0.95),
    ("gate_aa_kept", "1", lambda value: value >= 1.0),
    ("end_to_end_failed_requests", "0", lambda value: value <= 0),
)


def page(figures: Mapping[str, Any], trials: Sequence[DetectionTrial]) -> str:
    """The whole page; figures that were not measured are left out."""
    parts = [
        "# Drift: false alarms, power, delay, faults, cost",
        f"`{figures['command']}`, revision {figures['git_revision']}, seed {figures['seed']}, "
        f"{figures['wall_seconds']} s with {figures['workers']} processes. "
        "Figures are shares with exact binomial 95% intervals, or means over users with bootstrap ones.",
        _what_was_run(figures),
        "## Wanted and found",
        _wanted(figures),
        "## Beside the rivals, on the same windows",
        _rivals(figures),
        "## A year with a clock (Complete Journey, a look every 14 days, light model)",
        *(_course(figures, suffix, title) for suffix, title in WORLDS if f"ours_retrains{suffix}" in figures),
        "## Faults of the data, and changes that are none of interests",
        _faults(figures),
        "## What did not work",
        _failures(figures, trials),
    ]
    return "\n\n".join(parts) + "\n"


WORLDS = (
    ("", "20% of the users move half of their favourite category to one other, on day 196"),
    ("_diffuse", "the same, but each to another one"),
    ("_new_category", "a new category is taken up by 20% of the users on day 196"),
    ("_as_it_was", "the year as it was"),
)


def _what_was_run(figures: Mapping[str, Any]) -> str:
    return (
        f"- {figures['placebo_windows']} pairs of windows in which nothing changed: "
        f"{figures['placebo_windows_real']} of Complete Journey, each user's baskets of eight real weeks dealt at "
        f"random to the two windows and everything that hangs on the log made anew; "
        f"{figures['placebo_windows_synthetic']} of made shops, each its own.\n"
        "- Power: interests moved in the second window of such a deal; concentrated (all to one category, drawn among "
        "the 30 largest) and diffuse (each user to the one of these that they like least).\n"
        "- Delay: looks a quarter, two quarters, ... of a window after a shift of 20%, while both windows overlap.\n"
        f"- {figures['real_windows']} pairs of real neighbouring windows as they came: {figures['real_windows_alarm']} "
        "alarm. Whether these are right nobody knows."
    )


def _wanted(figures: Mapping[str, Any]) -> str:
    rows = [
        (name, wanted, _told(figures, name), "met" if met(_end(figures, name)) else "missed")
        for name, wanted, met in WANTED
        if figures.get(name) is not None
    ]
    rows.append(
        (
            "delay_windows",
            "small",
            _told(figures, "delay_windows"),
            f"{figures.get('delay_found', 0):.0%} found",
        )
    )
    return _table(("figure", "wanted", "found", ""), rows)


def _end(figures: Mapping[str, Any], name: str) -> float:
    """The figure; of a gain the lower end, since the whole interval is to lie above 0."""
    return float(figures[f"{name}_low"] if name == "retrained_minus_frozen" else figures[name])


def _rivals(figures: Mapping[str, Any]) -> str:
    names = (
        "false_alarm_rate",
        "power_10",
        "power_20",
        "power_40",
        "delay_windows",
        "delay_found",
        "faults_retrained",
    )
    rows = []
    for policy in (*POLICIES, "significance"):
        prefix = "" if policy == "ours" else f"{policy}_"
        if prefix + names[0] in figures:
            rows.append((policy, *(_told(figures, prefix + name) for name in names)))
    note = (
        "`significance` is ours without the wish for a large effect. `evidently` is the preset's word on the "
        "whole data set, `evidently_category` its word on the column of categories alone."
    )
    return f"{_table(('policy', *names), rows)}\n\n{note}"


def _course(figures: Mapping[str, Any], suffix: str, title: str) -> str:
    rows = [
        (
            policy,
            figures[f"{policy}_retrains{suffix}"],
            figures[f"{policy}_cpu_seconds{suffix}"],
            f"{figures[f'{policy}_ndcg{suffix}']:.4f}",
            _told(figures, f"{policy}_regret{suffix}", 4),
        )
        for policy in POLICIES
        if f"{policy}_retrains{suffix}" in figures
    ]
    gains = [
        f"- Retrained (ours) minus frozen after the day, NDCG@10, {how}: {_told(figures, name + suffix, 4)}."
        for name, how in (
            ("retrained_minus_frozen", "lists made at the visit"),
            ("retrained_minus_frozen_lists_made_ahead", "lists made ahead"),
        )
    ]
    alarms = [f"- {line}" for line in figures.get(f"replay_alarms{suffix}", [])]
    head = ("policy", "retrains", "CPU seconds", "NDCG@10", "regret beside always")
    told = "\n".join(gains) + ("\n\nWhat ours saw:\n\n" + "\n".join(alarms) if alarms else "")
    return f"### {title.capitalize()}\n\n{_table(head, rows)}\n\n{told}"


def _faults(figures: Mapping[str, Any]) -> str:
    found = sorted(name for name in figures if name.startswith("fault_") and name.endswith("_named"))
    rows = [
        (name.removeprefix("fault_").removesuffix("_named"), f"{figures[name]:.0%} named a fault")
        for name in found
    ]
    for name in sorted(figures):
        if name.startswith(("new_category", "collapse_", "season_")) and name.endswith("_drift"):
            base = name.removesuffix("_drift")
            fault = figures[f"{base}_fault"]
            rows.append((base.replace("_", " "), f"{figures[name]:.0%} drift, {fault:.0%} fault"))
    return _table(("what happened", "what the verdict said"), rows)


def _failures(figures: Mapping[str, Any], trials: Sequence[DetectionTrial]) -> str:
    """Which tests made the false alarms, and which shifts were missed."""
    calm = [trial for trial in trials if trial.what in _CALM]
    families = Counter(family for trial in calm for family in trial.families)
    lines = [f"- False alarms by family and tier: {_counts(families)}." if families else "- No false alarm."]
    missed = Counter(
        f"{trial.what} {trial.part} on day {trial.cut:.0f}"
        for trial in trials
        if trial.what.startswith("interests") and not trial.alarms["ours"]
    )
    lines.append(f"- Shifts that were missed: {_counts(missed)}." if missed else "- No shift was missed.")
    blamed = Counter(
        f"{trial.what} {trial.part}".strip()
        for trial in trials
        if trial.state == "fault" and trial.what != "fault"
    )
    if blamed:
        lines.append(f"- Called a data fault and was none: {_counts(blamed)}.")
    unnamed = Counter(trial.part for trial in trials if trial.what == "fault" and trial.state != "fault")
    if unnamed:
        lines.append(f"- Data faults that were not named: {_counts(unnamed)}.")
    slow = figures.get("delay_found")
    if slow is not None and slow < 1:
        lines.append(f"- {1 - slow:.0%} of the shifts of 20% were not seen within a window.")
    return "\n".join(lines)


def _counts(counts: "Counter[str]") -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.most_common(15))


def _told(figures: Mapping[str, Any], name: str, digits: int = 3) -> str:
    """A figure with its interval where it has one."""
    value = figures.get(name)
    if value is None:
        return "-"
    low, high = figures.get(f"{name}_low"), figures.get(f"{name}_high")
    ends = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f}{ends}" if isinstance(value, float) else f"{value}{ends}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
