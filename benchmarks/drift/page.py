"""drift.md from the figures in drift.json: what was measured, the targets met and missed, and every miss."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.drift.frontier import target_sentence
from benchmarks.drift.summary_stats import SHARES
from monitoring.simulation.faults import INDISTINGUISHABLE
from monitoring.simulation.policies import POLICIES

COMMAND = "python -m benchmarks.drift.benchmark"
TARGETS = (
    ("false_alarm_rate", "<= .05", lambda value: value <= 0.05),
    ("power_10", ">= .90", lambda value: value >= 0.9),
    ("power_20", "1", lambda value: value >= 1.0),
    ("power_40", "1", lambda value: value >= 1.0),
    ("delay_found", "1", lambda value: value >= 1.0),
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
_BEFORE_VALUE = (
    "The measured revision had no decision by value yet: its policy, `drift`, decided by the drift verdict alone. The "
    "present policy's retrains, CPU seconds and NDCG are not measured."
)
_OTHER_SHIFTS = (
    ("light_found", "half of the light users shift, found in the first window"),
    *(
        (f"gradual_found_{look}", f"30% of all users shift over three windows, found by window {look}")
        for look in (1, 2, 3)
    ),
    ("season_over_found", "a season of six weeks ends as the model is trained, found in the first window"),
)
WORLDS = (
    ("", "20% of the users move half of their favourite category to one other, on day 196"),
    ("_diffuse", "the same, but each to another category"),
    ("_new_category", "a new category is taken up by 20% of the users on day 196"),
    ("_as_it_was", "the year as it was"),
)


def drift_page(figures: Mapping[str, Any]) -> str:
    """The whole page; figures that were not measured are left out."""
    parts = [
        "# Drift: false alarms, power, delay, faults, cost",
        f"`{COMMAND}`, revision {figures['git_revision']}, seed {figures['seed']}, "
        f"{figures['wall_seconds']} s with {figures['workers']} processes. "
        "Figures are shares with exact binomial 95% intervals, or means over users with bootstrap ones.",
        "" if _has_decision_by_value(figures) else _BEFORE_VALUE,
        _protocol(figures),
        "## Targets",
        _targets(figures),
        "## Every miss",
        _misses(figures),
        "## Comparison with other policies on the same windows",
        _policies(figures),
        "## A replayed year (Complete Journey, a decision every 14 days, TIFU-KNN as the model)",
        _schedule_comparison(figures),
        *(_replay(figures, suffix, title) for suffix, title in WORLDS if f"ours_retrains{suffix}" in figures),
        "## Faults of the feed, by kind",
        _feed_faults(figures),
        "## Faults of the data, and other changes",
        _changes(figures),
        "## Light users alone, gradual shifts, a season that ends",
        _other_shifts(figures),
    ]
    page = "\n\n".join(part for part in parts if part) + "\n"
    if _has_decision_by_value(figures):
        return page
    return page.replace("`ours`", "`drift`").replace("| ours |", "| drift |")


def _has_decision_by_value(figures: Mapping[str, Any]) -> bool:
    """Whether the measured revision had one; without it, `ours` was what is `drift` since."""
    return any(name.startswith("hindsight_regrets") for name in figures)


def _protocol(figures: Mapping[str, Any]) -> str:
    return (
        f"- {figures['placebo_windows']} pairs of windows without drift: {figures['placebo_windows_real']} of "
        "Complete Journey, where each user's baskets of eight real weeks are reassigned at random to the two windows "
        f"and the reference is rebuilt; {figures['placebo_windows_synthetic']} of synthetic shops.\n"
        "- Power: interests shift in the second window of such a pair; concentrated (all to one category, drawn from "
        "the 30 largest) and diffuse (each user to the one of these with fewest of the user's events).\n"
        "- Delay: evaluations a quarter, two quarters, ... of a window after a shift of 20%, while both windows "
        f"overlap; {figures.get('delay_shifts', 0)} shifts, found after {_figure(figures, 'delay_windows')} windows in "
        "the mean.\n"
        f"- {figures['real_windows']} pairs of real adjacent windows: {figures['real_windows_alarm']} alarm. The "
        "ground truth of these is unknown, so they count neither as hits nor as false alarms."
    )


def _targets(figures: Mapping[str, Any]) -> str:
    rows = [
        (name, target, _figure(figures, name), "met" if met(_compared(figures, name)) else "missed")
        for name, target, met in TARGETS
        if figures.get(name) is not None
    ]
    missed = [name for name, *_, result in rows if result == "missed"]
    listed = f": {', '.join(f'`{name}`' for name in missed)}" if missed else ""
    count = f"Of {len(rows)} targets {len(rows) - len(missed)} are met and {len(missed)} missed{listed}."
    return f"{count}\n\n{_table(('figure', 'target', 'measured', ''), rows)}"


def _compared(figures: Mapping[str, Any], name: str) -> float:
    """The figure, or of a gain the lower end of its interval."""
    return float(figures[f"{name}_low"] if name == "retrained_minus_frozen" else figures[name])


def _misses(figures: Mapping[str, Any]) -> str:
    """Each kind of error with its count, the number of trials, and where it occurred."""
    false = _count(figures, "false_alarm_rate", "placebo_windows")
    lines = [
        f"- False alarms: {false} of {figures['placebo_windows']} pairs without drift"
        f"{_listed(figures, 'false_alarm_families')}."
    ]
    missed = [
        f"{total - _count(figures, f'power_{percent}', f'power_{percent}_trials')} of {total} shifts of {percent}%"
        for percent in SHARES
        if (total := figures.get(f"power_{percent}_trials"))
    ]
    if missed:
        lines.append(f"- Missed shifts: {', '.join(missed)}{_listed(figures, 'missed_shifts')}.")
    if shifts := figures.get("delay_shifts"):
        late = shifts - _count(figures, "delay_found", "delay_shifts")
        lines.append(f"- Shifts of 20% not found within a window: {late} of {shifts}.")
    lines += [
        f"- {title}{_listed(figures, key)}."
        for title, key in (
            ("Drift or no drift called a data fault", "wrong_faults"),
            ("Data faults that were not named", "unnamed_faults"),
        )
        if figures.get(key)
    ]
    if (drift := figures.get("season_return_drift")) is not None:
        lines.append(f"- A season's return a year later is still called drift in {drift:.0%} of the shops.")
    if "gate_aa_kept" in figures:
        trials = figures["gate_trials"]
        kept = round(figures["gate_aa_kept"] * trials)
        by_kind = ", ".join(
            f"{1 - figures[name]:.0%} of those {title}"
            for title, name in (
                ("identical", "gate_aa_kept_identical"),
                ("with another seed", "gate_aa_kept_other_seed"),
                ("fitted to other users", "gate_aa_kept_other_users"),
            )
        )
        rejected = trials - round(figures["gate_aa_passed"] * trials)
        lines.append(
            f"- The promotion gate reported a change for {trials - kept} of {trials} equal challengers ({by_kind}) and "
            f"rejected {rejected} of them."
        )
    return "\n".join(lines)


def _count(figures: Mapping[str, Any], rate: str, total: str) -> int:
    return round(figures[rate] * figures[total])


def _listed(figures: Mapping[str, Any], key: str) -> str:
    counts = sorted(figures.get(key, {}).items(), key=lambda pair: (-pair[1], pair[0]))
    return " (" + ", ".join(f"{name}: {count}" for name, count in counts) + ")" if counts else ""


def _policies(figures: Mapping[str, Any]) -> str:
    names = ("false_alarm_rate", "power_10", "power_20", "power_40", "delay_windows", "delay_found", "faults_retrained")
    rows = []
    for policy in (*POLICIES, "significance"):
        prefix = "" if policy == "ours" else f"{policy}_"
        if prefix + names[0] in figures:
            rows.append((policy if prefix else "drift", *(_figure(figures, prefix + name) for name in names)))
    note = (
        "`drift` is the drift verdict; `significance` is the verdict without effect limits, which has more power and a "
        "shorter delay, with a false alarm rate that is twice as high. `evidently` is the preset's result for the "
        "whole data set, `evidently_category` for the category column alone."
    )
    return f"{_table(('policy', *names), rows)}\n\n{note}"


def _schedule_comparison(figures: Mapping[str, Any]) -> str:
    """`ours` against a monthly schedule on the unchanged year."""
    if "monthly_ndcg_as_it_was" not in figures:
        return ""
    rows = {
        name: [figures[f"{name}_{key}_as_it_was"] for key in ("ndcg", "retrains", "cpu_seconds")]
        for name in ("ours", "monthly")
    }
    (ours, retrains, seconds), (monthly, monthly_retrains, monthly_seconds) = rows.values()
    measured = (
        f"NDCG@10 {monthly:.4f} with {monthly_retrains} retrains and {monthly_seconds:.0f} CPU seconds, against "
        f"{ours:.4f} with {retrains} retrains and {seconds:.0f} CPU seconds."
    )
    if round(monthly, 4) >= round(ours, 4) and monthly_seconds < seconds:
        return (
            f"On the real year a monthly schedule does as well as `ours`, at less cost: {measured} With the "
            f"changes below `ours` gains at most {max(_gains(figures)):.4f} NDCG@10 over the schedule. A "
            "schedule, however, also retrains on each of the broken feeds and bot waves, and reports no changes."
        )
    return f"On the real year, a monthly schedule against `ours`: {measured}"


def _gains(figures: Mapping[str, Any]) -> list[float]:
    """NDCG@10 of `ours` minus that of the monthly schedule, in each replayed world."""
    suffixes = [suffix for suffix, _ in WORLDS if f"ours_ndcg{suffix}" in figures]
    return [figures[f"ours_ndcg{suffix}"] - figures[f"monthly_ndcg{suffix}"] for suffix in suffixes]


def _replay(figures: Mapping[str, Any], suffix: str, title: str) -> str:
    hindsight = figures.get(f"hindsight_regrets{suffix}")
    head = ["policy", "retrains", "CPU seconds", "NDCG@10", "regret against always"]
    head += ["least regret with as many retrains", "looks from day 196 to a retrain"] if hindsight else []
    rows = []
    for policy in POLICIES:
        if (retrains := figures.get(f"{policy}_retrains{suffix}")) is None:
            continue
        seconds, ndcg = figures[f"{policy}_cpu_seconds{suffix}"], figures[f"{policy}_ndcg{suffix}"]
        row = [policy, retrains, seconds, f"{ndcg:.4f}", _figure(figures, f"{policy}_regret{suffix}", 4)]
        if hindsight:
            row += [f"{hindsight[retrains]:.4f}", _figure(figures, f"{policy}_reaction{suffix}")]
        rows.append(row)
    gains = [
        f"- `ours` minus `never`, NDCG@10 after day 196, {how}: {_figure(figures, name + suffix, 4)}."
        for name, how in (
            ("retrained_minus_frozen", "lists made online"),
            ("retrained_minus_frozen_lists_made_ahead", "lists made at the retrain"),
        )
    ]
    alarms = [f"- {line}" for line in figures.get(f"replay_alarms{suffix}", [])]
    target = [target_sentence(figures, suffix)] if hindsight else []
    parts = [f"### {title.capitalize()}", _table(head, rows), *target, "\n".join(gains)]
    if alarms:
        parts += ["Alarms of `ours` (sentences as the measured revision wrote them):", "\n".join(alarms)]
    return "\n\n".join(parts)


def _feed_faults(figures: Mapping[str, Any]) -> str:
    """Each injected fault, how often its kind was named, and those that a feed cannot tell."""
    prefix, suffix = "feed_fault_named_", "_trials"
    names = [
        key.removeprefix(prefix).removesuffix(suffix)
        for key in sorted(figures)
        if key.startswith(prefix) and key.endswith(suffix)
    ]
    rows = [
        (
            name.replace("_", " "),
            figures[f"{prefix}{name}{suffix}"],
            _figure(figures, prefix + name),
            "a feed cannot tell this apart from behaviour" if name in INDISTINGUISHABLE else "",
        )
        for name in names
    ]
    return _table(("fault", "trials", "named by its kind", ""), rows) if rows else "Not measured yet."


def _changes(figures: Mapping[str, Any]) -> str:
    rows = [
        (name.removeprefix("fault_").removesuffix("_named"), f"{figures[name]:.0%} named a fault")
        for name in sorted(figures)
        if name.startswith("fault_") and name.endswith("_named")
    ]
    for name in sorted(figures):
        if name.startswith(("new_category", "collapse_", "season_")) and name.endswith("_drift"):
            change = name.removesuffix("_drift")
            verdicts = f"{figures[name]:.0%} drift, {figures[f'{change}_fault']:.0%} fault"
            rows.append((change.replace("_", " "), verdicts))
    return _table(("change", "verdict"), rows)


def _other_shifts(figures: Mapping[str, Any]) -> str:
    """What `python -m benchmarks.drift.other_shifts` found."""
    rows = [
        (what, figures[f"shift_{name}_trials"], _figure(figures, f"shift_{name}"))
        for name, what in _OTHER_SHIFTS
        if f"shift_{name}" in figures
    ]
    if not rows:
        return "Not measured yet."
    source = f"`python -m benchmarks.drift.other_shifts`, revision {figures['shift_revision']}, by the drift verdict."
    return f"{source}\n\n{_table(('change', 'trials', 'called drift'), rows)}"


def _figure(figures: Mapping[str, Any], name: str, digits: int = 3) -> str:
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
