"""A flow that waits for a person, on a real Prefect server: by the command line, and by the server's own API."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows.loop import approval
from flows.loop.approval import ApprovalError, PendingApproval
from tests.support.commands import tierrec
from tests.support.prefect_workers import prefect_server
from tests.support.projects import ENV, ROOT
from tierrec_core.base.errors import SettingsError

FLOW = '''
import sys
from pathlib import Path
from prefect import flow
from flows.loop.approval import wait_for_approval

@flow(name="ask")
def ask(name: str, hours: float = 1.0) -> None:
    """Notes each beginning, asks, and notes the answer."""
    folder = Path(__file__).parent
    with (folder / f"{name}.began").open("a") as began:
        began.write("x")
    answer = wait_for_approval(f'{name} passed "the gate"', timeout_hours=hours)
    (folder / f"{name}.answer").write_text(f"{answer.approved} {answer.reason}")

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        ask.serve(name="asking")
    else:
        ask(sys.argv[1], float(sys.argv[2]))
'''
PATIENCE = 90.0


def until(seen: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    end = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < end, "it did not come"
        assert process is None or process.poll() is None, "the process has ended"
        time.sleep(0.1)


@contextlib.contextmanager
def running(command: list[str], folder: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with a log, gone afterwards with all that it started."""
    with (folder / f"{Path(command[-1]).name}.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=ENV | environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("approval")
    (made / "asking.py").write_text(FLOW)
    return made


@pytest.fixture(scope="module")
def environment(folder: Path) -> Iterator[dict[str, str]]:
    """What clients of a server of our own must know."""
    with prefect_server(folder / "prefect") as server:
        names = ("PREFECT_HOME", "PREFECT_API_URL", "PREFECT_SERVER_ANALYTICS_ENABLED", "DO_NOT_TRACK")
        known = {name: server.env[name] for name in names}
        yield known | {"PREFECT_RUNNER_POLL_FREQUENCY": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def client(environment: dict[str, str]) -> Iterator[SyncPrefectClient]:
    with approval.connect_to(environment["PREFECT_API_URL"]) as made:
        yield made


@pytest.fixture(scope="module")
def served(folder: Path, environment: dict[str, str], client: SyncPrefectClient) -> Iterator[str]:
    """The deployment's id, with a runner that runs it."""
    with running([sys.executable, "asking.py", "serve"], folder, **environment) as process:
        until(lambda: client.read_deployments(), process)
        yield str(client.read_deployments()[0].id)


@pytest.fixture(name="tierrec")
def _tierrec(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command prints. Raises what it raises."""
    monkeypatch.setenv("PREFECT_API_URL", environment["PREFECT_API_URL"])

    return tierrec


def asked(client: SyncPrefectClient, name: str) -> PendingApproval:
    """The run that asks for the name, once it does."""

    def found() -> list[PendingApproval]:
        return [one for one in approval.list_pending(client) if one.summary == f'{name} passed "the gate"']

    until(found)
    return found()[0]


def submit(client: SyncPrefectClient, deployment: str, name: str) -> PendingApproval:
    client.create_flow_run_from_deployment(deployment, parameters={"name": name})
    return asked(client, name)


@pytest.mark.slow
def test_a_suspended_run_holds_no_process_and_goes_on_when_a_person_approves(
    folder: Path, client: SyncPrefectClient, served: str, tierrec: Callable[..., str]
) -> None:
    one = submit(client, served, "approved")
    assert client.read_flow_run(one.run_id).state_name == "Suspended"
    assert 'approved passed "the gate"' in tierrec("approve", "--list")
    said = tierrec("approve", one.name, "--reason", 'looked at "it"')
    assert said == f'{one.name} is approved: approved passed "the gate"\n'
    until((folder / "approved.answer").exists)
    assert (folder / "approved.answer").read_text() == 'True looked at "it"'
    assert (folder / "approved.began").read_text() == "xx"  # it began again instead of waiting in a process
    until(lambda: client.read_flow_run(one.run_id).state_name == "Completed")
    with pytest.raises(ApprovalError, match="does not accept the answer"):
        approval.send_answer(client, one.run_id, approved=False)


@pytest.mark.slow
def test_a_suspended_run_is_told_of_a_veto_by_the_servers_own_api(
    folder: Path, environment: dict[str, str], client: SyncPrefectClient, served: str
) -> None:
    one = submit(client, served, "vetoed")
    url = f"{environment['PREFECT_API_URL']}/flow_runs/{one.run_id}/resume"
    refused = httpx.post(url, json={"run_input": {"reason": "no word"}}).json()
    assert refused["status"] == "REJECT"
    assert httpx.post(url, json={"run_input": {"approved": False, "reason": "sale"}}).json()["status"] == "ACCEPT"
    until((folder / "vetoed.answer").exists)
    assert (folder / "vetoed.answer").read_text() == "False sale"


def test_a_run_without_a_deployment_waits_in_its_process(
    folder: Path, environment: dict[str, str], client: SyncPrefectClient, tierrec: Callable[..., str]
) -> None:
    with running([sys.executable, "asking.py", "plain", "1"], folder, **environment) as process:
        one = asked(client, "plain")
        said = tierrec("veto", "--reason", "too early")
        assert said == f'{one.name} is vetoed: plain passed "the gate"\n'
        until((folder / "plain.answer").exists)
        assert process.wait(PATIENCE) == 0
    assert (folder / "plain.answer").read_text() == "False too early"
    assert (folder / "plain.began").read_text() == "x"


@pytest.mark.slow
def test_nobodys_answer_is_a_veto(
    folder: Path, environment: dict[str, str], client: SyncPrefectClient, served: str
) -> None:
    hours = 0.0006  # two seconds
    suspended = client.create_flow_run_from_deployment(served, parameters={"name": "later", "hours": hours})
    with running([sys.executable, "asking.py", "late", str(hours)], folder, **environment) as process:
        assert process.wait(PATIENCE) == 0
    assert (folder / "late.answer").read_text() == "False no answer within 0.0006 h"
    until(lambda: client.read_flow_run(suspended.id).state_name == "Failed")
    assert not (folder / "later.answer").exists()


@pytest.mark.slow
def test_which_run_is_meant_must_be_plain(client: SyncPrefectClient, served: str, tierrec: Callable[..., str]) -> None:
    with pytest.raises(ApprovalError, match="no run waits for it; a retrain does"):
        tierrec("approve")
    assert tierrec("approve", "--list") == "nothing waits for an approval\n"
    first, second = submit(client, served, "first"), submit(client, served, "second")
    with pytest.raises(ApprovalError, match=f"2 runs wait for it; name one of {first.name}, {second.name}"):
        tierrec("approve")
    with pytest.raises(ApprovalError, match=f"run 'x' does not wait for it; wanted one of {first.name}, {second.name}"):
        tierrec("veto", "x", "--reason", "no")
    tierrec("veto", str(first.run_id), "--reason", "no")
    tierrec("veto", "--reason", "no")


def test_without_a_server_nobody_can_be_asked() -> None:
    with pytest.raises(SettingsError, match="tierrec stack up"):
        approval.wait_for_approval("a challenger", timeout_hours=1.0)
