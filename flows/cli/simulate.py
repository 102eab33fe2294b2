"""tierrec simulate: replay a year with simulated drift, and report detections, retrains and list quality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from monitoring.simulation.replay import Replay, ReplayResult

_MONTH = 28.0
_TRAINING_MONTHS = 5  # of the first model
_MAX_REASON = 70

app = typer.Typer()


@app.command("simulate", epilog="Example: tierrec simulate --world synthetic --shift diffuse --share 0.4")
def _simulate(
    world: Annotated[
        Literal["complete_journey", "synthetic"], typer.Option(help="The Complete Journey, or a synthetic shop.")
    ] = "complete_journey",
    shift: Annotated[
        str, typer.Option(help="none, interests, diffuse, new_category, season, collapse_heavy, missing_days, bots...")
    ] = "interests",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of users affected by the shift.")] = 0.2,
    month: Annotated[int, typer.Option(min=1, help="Months of 28 days before the shift.")] = 7,
    policy: Annotated[
        str,
        typer.Option(help="Retraining policy: ours, drift, psi_10, evidently, monthly, six_weeks, never, always..."),
    ] = "ours",
    every: Annotated[float, typer.Option(min=1, help="Days between two evaluations of the policy.")] = _MONTH,
    served: Annotated[bool, typer.Option(help="Compute lists at each retrain, not at each visit.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 7,
    json: Annotated[Path | None, typer.Option(help="Write the results to this file, too.")] = None,
) -> None:
    """Replay a year with a shift in it: evaluate a retraining policy month by month against a frozen model."""
    from rich.console import Console

    from monitoring.simulation.policies import POLICIES
    from monitoring.simulation.replay import Replay, ReplayClock
    from monitoring.simulation.scenarios import apply_change
    from monitoring.simulation.world import complete_journey_world, synthetic_world
    from tierrec_core.base import artifacts
    from tierrec_core.settings import MonitorSettings

    if policy not in POLICIES:
        raise SettingsError(f"--policy: {policy!r} is unknown; wanted one of {', '.join(POLICIES)}")
    before = synthetic_world(seed) if world == "synthetic" else complete_journey_world()
    first = before.start + _TRAINING_MONTHS * _MONTH
    ticks = int((before.end - first) // every) - 1
    if ticks < 1:
        raise SettingsError(
            f"--every: the log has {before.end - first:g} days after its first {_TRAINING_MONTHS} months, too few for "
            f"two steps of {every:g} days; set fewer days"
        )
    after = apply_change(before, shift, before.start + month * _MONTH, share, seed)
    replay = Replay(after, ReplayClock(first, every, ticks), MonitorSettings(), seed, fresh=not served)
    retrained, frozen = replay.run(POLICIES[policy]), replay.run(POLICIES["never"])
    console, report = Console(), _report(replay, retrained, frozen, policy)
    what = f"from {report['change_start']} on, {report['change']}" if report["change"] else "no shift"
    console.print(f"{report['world']}: {what}", highlight=False)
    console.print(_table(report))
    console.print(_summary(report), highlight=False)
    if json is not None:
        artifacts.write_json(report, json)


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
                "ndcg": float(step.quality.ndcg.mean()),
                "ndcg_frozen": float(frozen_step.quality.ndcg.mean()),
                "conversion": step.quality.outcomes.rate,
                "users": len(step.quality.users),
            }
            for step, frozen_step in zip(retrained.steps, frozen.steps, strict=True)
        ],
    }


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
            f"{step['ndcg_frozen']:.4f}",
            f"{step['ndcg']:.4f}",
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
