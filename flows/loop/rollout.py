"""The flows `rollout` and `deploy`: serve a challenger to a share of users, then promote it or roll it back."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events import emit_event

from flows.liveness import send_heartbeats
from flows.loop.loop_state import LoopState
from flows.loop.pages import write_history
from flows.project.champion import (
    deploy_release,
    describe_serving,
    fetch_pointer,
    pointer_path,
    promote_release,
    roll_back_release,
)
from flows.project.feedback_store import existing_store
from flows.run_names import flow_and_time
from services.experiments import Experiments
from services.releases import rollout as rollouts
from services.releases.pointer import Pointer, PointerConflictError
from services.releases.rollout import RolloutVerdict
from services.shared_files import serving_folder
from services.tenants.configuration import EXPERIMENTS
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, read_settings


@flow(
    name="rollout",
    flow_run_name=flow_and_time,
    log_prints=True,
    on_running=[send_heartbeats],
    retries=3,
    retry_delay_seconds=20,
)
def rollout() -> str:
    """Promote the challenger, roll it back, or wait for more feedback; returns the action and its reason.

    Also vetoes packaged challengers whose approval timed out.
    """
    layout = Layout(Path.cwd())
    settings = read_settings(layout.params)
    summary = _roll_out(layout, settings)
    if settings.rollout.approval == "required":
        from flows.loop.retrain import veto_expired_retrains  # imports DVC

        with get_client(sync_client=True) as client:
            vetoed = veto_expired_retrains(layout, settings, datetime.now(UTC), client)
        for retrain in vetoed:
            summary += f"; {retrain.challenger}: vetoed: {retrain.error}"
            print(summary)
        if vetoed:
            write_history(LoopState(layout))
    return summary


def _roll_out(layout: Layout, settings: Settings) -> str:
    fetch_pointer(layout)
    path = pointer_path(layout)
    if not path.exists() or (pointer := Pointer.read(path)).challenger is None:
        return "no challenger"
    verdict = evaluate_challenger(layout, settings, pointer)
    summary = f"{pointer.challenger.bento}: {verdict.action}: {verdict.reason}"
    create_markdown_artifact(key="rollout", markdown=summary)
    print(summary)
    if verdict.action != "wait":
        apply_verdict(layout, pointer, verdict)
    return summary


def evaluate_challenger(layout: Layout, settings: Settings, pointer: Pointer) -> RolloutVerdict:
    """The verdict on the challenger from its feedback so far. Raises StoreError when the store does not answer."""
    now = datetime.now(UTC)
    with existing_store(layout) as store:
        if store is None:
            champion, challenger = rollouts.RolloutArm(), rollouts.RolloutArm()
            age_hours = (now - rollouts.rollout_start(pointer)).total_seconds() / 3600
        else:
            champion, challenger, age_hours = rollouts.measure_arms(
                store, pointer, now, settings.rollout, experiments=_experiments(layout)
            )
    return rollouts.decide_rollout(champion, challenger, pointer.share, age_hours, settings.rollout)


def _experiments(layout: Layout) -> Experiments:
    """The shop's experiments; with an invalid file, users who took part in any experiment are left out."""
    try:
        return Experiments.read(serving_folder(layout) / EXPERIMENTS)
    except SettingsError as error:
        print(error)
        return rollouts.NO_EXPERIMENTS


def apply_verdict(layout: Layout, pointer: Pointer, verdict: RolloutVerdict) -> None:
    """Promote or roll back, record it and emit an event. Does nothing when the pointer has changed since."""
    challenger = pointer.challenger
    if challenger is None:
        return
    change = promote_release if verdict.action == "promote" else roll_back_release
    try:
        change(layout, reason=verdict.reason, seen=pointer.revision)
    except PointerConflictError as error:
        print(error)
        return
    write_history(LoopState(layout))
    emit_event(
        event=f"tierrec.release.{'promoted' if verdict.action == 'promote' else 'rolled_back'}",
        resource={"prefect.resource.id": f"tierrec.release.{challenger.bento}"},
        payload={"reason": verdict.reason},
    )


@flow(name="deploy", flow_run_name=flow_and_time, log_prints=True, on_running=[send_heartbeats])
def deploy_bento(tag: str | None = None, share: float | None = None) -> str:
    """Serve a Bento that passes its smoke test to a share of users.

    tag: None = the packaged Bento; share: None = rollout.share
    """
    summary = describe_serving(deploy_release(Layout(Path.cwd()), tag, share=share))
    print(summary)
    return summary
