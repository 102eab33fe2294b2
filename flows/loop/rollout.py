"""The flows `rollout` and `deploy`: a challenger's time on a share of the users, and how it begins and ends."""

from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.events import emit_event

from flows.liveness.process_heartbeat import claim
from flows.loop.champion import pointer_path, state_folder
from flows.loop.feedback_import import opened_store
from flows.loop.loop_state import LoopState, RetrainRecord
from flows.loop.pages import write_history
from flows.project.release_log import State, note_release, write_release
from services.deployment.admission import admit, stored
from services.experiments import Experiments
from services.releases import pointer as releases
from services.releases import rollout as rollouts
from services.releases.pointer import Pointer
from services.releases.rollout import RolloutVerdict
from services.tenants.configuration import EXPERIMENTS
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings, read_settings


@flow(name="rollout", log_prints=True, on_running=[claim], retries=3, retry_delay_seconds=20)
def rollout() -> str:
    """Promote the challenger, take it away, or wait for more feedback; what was done and why, in words.

    A packaged one that no person answered for in time is vetoed.
    """
    layout = Layout(Path.cwd())
    settings = read_settings(layout.params)
    said = _roll_out(layout, settings)
    for one in _vetoed(layout, settings):
        said += f"; {one.challenger}: vetoed: {one.error}"
        print(said)
    return said


def _roll_out(layout: Layout, settings: Settings) -> str:
    path = pointer_path(layout)
    if not path.exists() or (pointer := Pointer.read(path)).challenger is None:
        return "no challenger"
    verdict = weigh(layout, settings, pointer)
    said = f"{pointer.challenger.bento}: {verdict.act}: {verdict.reason}"
    create_markdown_artifact(key="rollout", markdown=said)
    print(said)
    if verdict.act != "wait":
        act(layout, pointer, verdict)
    return said


def _vetoed(layout: Layout, settings: Settings) -> list[RetrainRecord]:
    if settings.rollout.approval != "required":
        return []
    from flows.loop.approval_timeouts import veto_unanswered  # brings DVC along

    with get_client(sync_client=True) as client:
        ended = veto_unanswered(layout, settings, datetime.now(UTC), client)
    if ended:
        write_history(LoopState(layout))
    return ended


def weigh(layout: Layout, settings: Settings, pointer: Pointer) -> RolloutVerdict:
    """What the feedback so far says of the challenger. Raises StoreError when the store does not answer."""
    now, nobody = datetime.now(UTC), rollouts.RolloutArm(0, 0, 0)
    with opened_store(layout) as store:
        if store is None:
            hours = (now - rollouts.deployed_at(pointer)).total_seconds() / 3600
            return rollouts.judge(nobody, nobody, pointer.share, hours, settings.rollout)
        champion, challenger, age_hours = rollouts.observe(
            store, pointer, now, settings.rollout, experiments=_experiments(layout)
        )
    return rollouts.judge(champion, challenger, pointer.share, age_hours, settings.rollout)


def _experiments(layout: Layout) -> Experiments:
    """The shop's; of a file that is wrong none is known, and who took part in any does not count."""
    try:
        return Experiments.read(state_folder(layout) / EXPERIMENTS)
    except SettingsError as error:
        print(error)
        return rollouts.NO_EXPERIMENTS


def act(layout: Layout, pointer: Pointer, verdict: RolloutVerdict) -> None:
    """Promote or roll back, write that down and tell the server. Nothing when somebody else changed the pointer."""
    path, challenger = pointer_path(layout), pointer.challenger
    if challenger is None or Pointer.read(path).revision != pointer.revision:
        return
    if verdict.act == "promote":
        releases.promote(path)
    else:
        releases.rollback(path, {one.tag for one in stored(layout)})
    state: State = "promoted" if verdict.act == "promote" else "rolled back"
    note_release(layout, challenger.bento, state=state, reason=verdict.reason)
    write_history(LoopState(layout))
    emit_event(
        event=f"tierrec.release.{state.replace(' ', '_')}",
        resource={"prefect.resource.id": f"tierrec.release.{challenger.bento}"},
        payload={"reason": verdict.reason},
    )


@flow(name="deploy", log_prints=True, on_running=[claim])
def deploy(tag: str | None = None, share: float | None = None) -> str:
    """Let a Bento that passes its smoke test answer a share of the users; the packaged one where none is named."""
    layout = Layout(Path.cwd())
    settings = read_settings(layout.params)
    report = admit(layout, settings, tag)
    write_release(layout, report.tag, reason="deployed by a person", gate=None)
    pointer = releases.deploy(
        pointer_path(layout), report, settings.rollout.share if share is None else share
    )
    said = (
        f"{report.tag} answers {pointer.share:.0%} of users"
        if pointer.challenger
        else f"{report.tag} answers all"
    )
    print(said)
    return said
