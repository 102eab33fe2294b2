"""tierrec simulate: replay a year with simulated drift, and report detections, retrains and list quality."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tierrec_core.base.errors import SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from monitoring.simulation.replay import Replay, ReplayResult, ReplayStep
    from monitoring.simulation.world import ReplayWorld

_MONTH = 28.0
_TRAINING_MONTHS = 5  # of the first model
_MAX_REASON = 70

app = typer.Typer()


WorldName = Literal["complete_journey", "synthetic"]


@app.command("simulate", epilog="Example: tierrec simulate --world synthetic --shift diffuse --share 0.4")
def _simulate(
    world: Annotated[
        WorldName, typer.Option(help="The Complete Journey data set, or a synthetic shop.")
    ] = "complete_journey",
    shift: Annotated[
        str, typer.Option(help="none, interests, diffuse, new_category, season, collapse_heavy, missing_days, bots...")
    ] = "interests",
    share: Annotated[float, typer.Option(min=0, max=1, help="Share of users affected by the shift.")] = 0.2,
    month: Annotated[int, typer.Option(min=1, help="Months of 28 days before the shift.")] = 7,
    policy: Annotated[
        str, typer.Option(help="Retraining policy: ours, psi_10, psi_20, evidently, monthly, never, always.")
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
    from tierrec_core.base import artifacts
    from tierrec_core.settings import MonitorSettings

    if policy not in POLICIES:
        raise SettingsError(f"--policy: {policy!r} is unknown; known are {', '.join(POLICIES)}")
    before = _world(world, seed)
    first = before.start + _TRAINING_MONTHS * _MONTH
    ticks = int((before.end - first) // every) - 1
    if ticks < 1:
        raise SettingsError(
            f"--every: the log has {before.end - first:g} days after its first {_TRAINING_MONTHS} months, too few for "
            f"two steps of {every:g} days; look more often"
        )
    after = apply_change(before, shift, before.start + month * _MONTH, share, seed)
    replay = Replay(after, ReplayClock(first, every, ticks), MonitorSettings(), seed, fresh=not served)
    course, frozen = replay.run(POLICIES[policy]), replay.run(POLICIES["never"])
    console = Console()
    console.print(_describe(after), highlight=False)
    console.print(_table(replay, course, frozen, policy))
    report = _report(replay, course, frozen, policy)
    console.print(_summary(report), highlight=False)
    if json is not None:
        artifacts.write_json(report, json)


def _world(name: WorldName, seed: int) -> "ReplayWorld":
    from monitoring.simulation import world

    return world.synthetic_world(seed) if name == "synthetic" else world.complete_journey_world()


def _describe(world: "ReplayWorld") -> str:
    from tierrec_core.data.interactions import from_days

    if world.change is None:
        return f"{world.name}: no shift"
    return f"{world.name}: from {from_days(world.change.start):%Y-%m-%d} on, {world.change.what}"


def _table(replay: "Replay", course: "ReplayResult", frozen: "ReplayResult", policy: str) -> "Table":
    from rich.table import Table

    table = Table(
        "window",
        "verdict",
        "act",
        "why",
        "NDCG@10 frozen",
        f"NDCG@10 {policy}",
        "conversion",
        "retrains",
        title="Verdicts, and the quality of the lists until the next evaluation",
    )
    for number, (step, still) in enumerate(zip(course.steps, frozen.steps, strict=True)):
        num_retrains = sum(earlier.decision.retrain for earlier in course.steps[: number + 1])
        table.add_row(
            _window(replay, step),
            step.decision.state,
            "retrain" if step.decision.retrain else "",
            _first_reason(step),
            f"{still.quality.ndcg.mean():.4f}",
            f"{step.quality.ndcg.mean():.4f}",
            f"{step.quality.outcomes.rate:.1%}",
            str(num_retrains),
        )
    return table


def _window(replay: "Replay", step: "ReplayStep") -> str:
    from tierrec_core.data.interactions import from_days

    start = from_days(step.decision.end - replay.settings.window_days)
    return f"{start:%Y-%m-%d} .. {from_days(step.decision.end):%m-%d}"


def _first_reason(step: "ReplayStep") -> str:
    reasons = step.decision.reasons
    more = f" (+{len(reasons) - 1})" if len(reasons) > 1 else ""
    return (reasons[0][:_MAX_REASON] + ("…" if len(reasons[0]) > _MAX_REASON else "") + more) if reasons else ""


def _report(replay: "Replay", course: "ReplayResult", frozen: "ReplayResult", policy: str) -> dict[str, Any]:
    from dataclasses import asdict

    from monitoring.simulation.replay import detection_delay, ndcg_loss
    from tierrec_core.data.interactions import from_days

    change = replay.world.change
    since = change.start if change else replay.clock.start
    return {
        "world": replay.world.name,
        "change": change.what if change else "",
        "change_start": f"{from_days(change.start):%Y-%m-%d}" if change else "",
        "policy": policy,
        "seed": replay.seed,
        "retrains": course.retrains,
        "retrain_cpu_seconds": round(course.retrain_seconds, 2),
        "watch_cpu_seconds": round(course.watch_seconds, 2),
        "delay_days": detection_delay(course.steps, since) if change else None,
        "retrained_minus_frozen": asdict(ndcg_loss(frozen, course, replay.seed, since)),
        "steps": [
            {
                "window": _window(replay, step),
                "state": step.decision.state,
                "retrain": step.decision.retrain,
                "reasons": list(step.decision.reasons),
                "model": replay.model(step.cut).version,
                "ndcg": float(step.quality.ndcg.mean()),
                "ndcg_frozen": float(still.quality.ndcg.mean()),
                "conversion": step.quality.outcomes.rate,
                "users": len(step.quality.users),
            }
            for step, still in zip(course.steps, frozen.steps, strict=True)
        ],
    }


def _summary(report: dict[str, Any]) -> str:
    gain, delay = report["retrained_minus_frozen"], report["delay_days"]
    noticed = "" if delay is None else f", noticed after {delay:g} days"
    return (
        f"{report['policy']}: {report['retrains']} retrains ({report['retrain_cpu_seconds']:.0f} CPU s){noticed}; "
        f"NDCG@10 over the frozen model {gain['value']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    )
