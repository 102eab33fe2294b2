"""tierrec simulate: replay a log under retraining policies, and report detections, retrains, list quality and cost."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.cli.common import MODELS, given_path, project_layout
from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from monitoring.simulation.policy_costs import PolicyCost
    from monitoring.simulation.replay import Replay, ReplayResult
    from tierrec_core.base.contracts import FloatArray

_MONTH = 28.0
_TRAINING_MONTHS = 5  # of the first model
_MAX_REASON = 70
_ALL = "all"

app = typer.Typer()


@app.command("simulate", rich_help_panel=MODELS, epilog="Example: tierrec simulate --policy all")
def _simulate(
    world: Annotated[
        Literal["project", "synthetic"], typer.Option(help="The log of the last `tierrec run`, or a synthetic shop.")
    ] = "project",
    shift: Annotated[
        str,
        typer.Option(help="none, interests, diffuse, new_category, season, collapse_heavy, missing_days, few_bots..."),
    ] = "none",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of users affected by the shift.")] = 0.2,
    month: Annotated[
        int | None,
        typer.Option(min=1, help="Months of 28 days before the shift (default: some after the first model)."),
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            help="Retraining policy: ours, drift, psi_10, evidently, monthly, six_weeks, never, always... or all."
        ),
    ] = "ours",
    every: Annotated[float, typer.Option(min=1, help="Days between two evaluations of the policy.")] = _MONTH,
    served: Annotated[bool, typer.Option(help="Compute lists at each retrain, not at each visit.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 7,
    json: Annotated[
        Path | None, typer.Option(dir_okay=False, callback=given_path, help="Write the results to this file, too.")
    ] = None,
) -> None:
    """Replay the log month by month under a retraining policy, against a frozen model; a shift can be added to it.

    --policy all compares the costs of all policies, and shows those on the project's log on the loop's page.
    """
    from monitoring.simulation.policies import POLICIES
    from tierrec_core.base import artifacts

    if policy not in (*POLICIES, _ALL):
        raise SettingsError(f"--policy: {policy!r} is unknown; wanted one of {', '.join((*POLICIES, _ALL))}")
    if json is not None and not json.absolute().parent.is_dir():
        raise SettingsError(f"--json: {json}: its folder does not exist; make it first")
    replay = _replay(world, shift, share, month and month * _MONTH, every, seed, fresh=not served)
    report = _compare_all(replay) if policy == _ALL else _follow(replay, policy)
    if (policy, world, shift, served) == (_ALL, "project", "none", False):
        _show(report)
    if json is not None:
        artifacts.write_json(report, json)


def _show(report: dict[str, Any]) -> None:
    """Put a comparison on the loop's page."""
    from flows.loop.loop_state import LoopState
    from flows.loop.pages import write_history
    from flows.project.lock import project_lock
    from tierrec_core.base import artifacts

    layout = project_layout()
    with project_lock(layout.root, "tierrec simulate"):
        artifacts.write_json(report, layout.policies)
        typer.echo(f"shown on {write_history(LoopState(layout))}")


def _replay(
    world: str, shift: str, share: float, shift_days: float | None, every: float, seed: int, *, fresh: bool
) -> "Replay":
    from monitoring.simulation.replay import Replay, ReplayClock
    from monitoring.simulation.scenarios import apply_change
    from monitoring.simulation.world import project_world, synthetic_world
    from tierrec_core.settings import MonitorSettings, read_settings

    if world == "project":
        layout = project_layout()
        settings = read_settings(layout.params)
        before, monitor = project_world(layout, settings), settings.monitor
    else:
        before, monitor = synthetic_world(seed), MonitorSettings()
    days = before.end - before.start
    training = min(_TRAINING_MONTHS * _MONTH, days // 2)
    ticks = int((days - training) // every) - 1
    if ticks < 1:
        raise SettingsError(
            f"--every: the log has {days - training:g} days after the {training:g} of the first model, too few for two "
            f"steps of {every:g} days; set fewer days"
        )
    clock = ReplayClock(before.start + training, every, ticks)
    changed = clock.start + every * (ticks // 3) if shift_days is None else before.start + shift_days
    if shift != "none" and not clock.start <= changed < clock.ticks[-1]:
        raise SettingsError(
            f"--month: the shift would be on day {changed - before.start:g} of the log, wanted one from {training:g}, "
            f"when the first model is trained, to before {clock.ticks[-1] - before.start:g}, the last evaluation"
        )
    return Replay(apply_change(before, shift, changed, share, seed), clock, monitor, seed, fresh)


def _follow(replay: "Replay", policy: str) -> dict[str, Any]:
    """Run one policy beside the frozen model, print each step, and return the report."""
    from rich.console import Console

    from monitoring.simulation.policies import POLICIES

    retrained, frozen = replay.run(POLICIES[policy]), replay.run(POLICIES["never"])
    console, report = Console(), _report(replay, retrained, frozen, policy)
    what = f"from {report['change_start']} on, {report['change']}" if report["change"] else "no shift"
    console.print(f"{report['world']}: {what}", highlight=False)
    console.print(_table(report))
    console.print(_summary(report), highlight=False)
    return report


def _compare_all(replay: "Replay") -> dict[str, Any]:
    """Run all policies, print what each costs and loses, and return the report."""
    from dataclasses import asdict

    from rich.console import Console
    from rich.progress import track

    from monitoring.simulation.policies import POLICIES
    from monitoring.simulation.policy_costs import PolicyComparison, policy_costs
    from tierrec_core.data.interactions import from_days

    names = track(POLICIES, "policies", console=Console(stderr=True))
    costs = policy_costs({name: replay.run(POLICIES[name]) for name in names}, replay.seed)
    Console().print(_cost_table(costs))
    comparison = PolicyComparison(
        log=replay.world.name,
        start=f"{from_days(replay.clock.start):%Y-%m-%d}",
        end=f"{from_days(replay.clock.ticks[-1] + replay.clock.step):%Y-%m-%d}",
        every=replay.clock.step,
        seed=replay.seed,
        change=replay.world.change.what if replay.world.change else "",
        fresh=replay.fresh,
        policies=tuple(costs),
    )
    return asdict(comparison)


def _cost_table(costs: "Sequence[PolicyCost]") -> "Table":
    from rich.table import Table

    table = Table(title="CPU seconds of checks and refits of a small model, and regret against `always`")
    for column in ("policy", "retrains", "CPU s", "NDCG@10", "regret", "95% interval", "frontier"):
        table.add_column(column)
    for cost in costs:
        table.add_row(
            cost.policy,
            str(cost.retrains),
            f"{cost.cpu_seconds:.1f}",
            f"{cost.ndcg:.4f}",
            f"{cost.regret.value:.4f}",
            f"{cost.regret.low:.4f} to {cost.regret.high:.4f}",
            "yes" if cost.efficient else "",
        )
    return table


def _report(replay: "Replay", retrained: "ReplayResult", frozen: "ReplayResult", policy: str) -> dict[str, Any]:
    from dataclasses import asdict

    from monitoring.simulation.replay import detection_delay, ndcg_loss
    from tierrec_core.data.interactions import from_days

    change, width = replay.world.change, replay.settings.window_days
    since = change.start if change else replay.clock.start
    return {
        "world": replay.world.name,
        "change": change.what if change else "",
        "change_start": f"{from_days(change.start):%Y-%m-%d}" if change else "",
        "policy": policy,
        "seed": replay.seed,
        "retrains": retrained.retrains,
        "retrain_cpu_seconds": round(retrained.retrain_seconds, 2),
        "watch_cpu_seconds": round(retrained.watch_seconds, 2),
        "delay_days": detection_delay(retrained.steps, since) if change else None,
        "retrained_minus_frozen": asdict(ndcg_loss(frozen, retrained, replay.seed, since)),
        "steps": [
            {
                "window": f"{from_days(step.decision.end - width):%Y-%m-%d} .. {from_days(step.decision.end):%m-%d}",
                "state": step.decision.state,
                "retrain": step.decision.retrain,
                "reasons": list(step.decision.reasons),
                "model": replay.model(step.cut).version,
                "ndcg": _mean(step.quality.ndcg),
                "ndcg_frozen": _mean(frozen_step.quality.ndcg),
                "conversion": step.quality.outcomes.rate,
                "users": len(step.quality.users),
            }
            for step, frozen_step in zip(retrained.steps, frozen.steps, strict=True)
        ],
    }


def _mean(ndcg: "FloatArray") -> float | None:
    """None without a user with a target event."""
    return float(ndcg.mean()) if len(ndcg) else None


def _table(report: dict[str, Any]) -> "Table":
    from rich.table import Table

    columns = ("window", "verdict", "action", "reason", "NDCG@10 frozen", f"NDCG@10 {report['policy']}", "conversion")
    table = Table(*columns, "retrains", title="Verdicts, and the quality of the lists until the next evaluation")
    num_retrains = 0
    for step in report["steps"]:
        num_retrains += step["retrain"]
        table.add_row(
            step["window"],
            step["state"],
            "retrain" if step["retrain"] else "",
            _first_reason(step["reasons"]),
            *("" if step[name] is None else f"{step[name]:.4f}" for name in ("ndcg_frozen", "ndcg")),
            f"{step['conversion']:.1%}",
            str(num_retrains),
        )
    return table


def _first_reason(reasons: list[str]) -> str:
    more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
    return (reasons[0][:_MAX_REASON] + ("…" if len(reasons[0]) > _MAX_REASON else "") + more) if reasons else ""


def _summary(report: dict[str, Any]) -> str:
    gain, delay = report["retrained_minus_frozen"], report["delay_days"]
    detection = "" if delay is None else f", detected after {delay:g} days"
    return (
        f"{report['policy']}: {report['retrains']} retrains ({report['retrain_cpu_seconds']:.0f} CPU s){detection}; "
        f"NDCG@10 over the frozen model {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    )
