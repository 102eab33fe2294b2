"""The pointer against a plain list of champions; routing against the binomial distribution."""

import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from services.releases.manifest import SmokeReport
from services.releases.pointer import Deployed, Pointer, PointerConflictError, deploy, promote, revision_at, rollback
from services.shared_files import FileWatcher
from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, GateError, SettingsError

FORK = multiprocessing.get_context("fork")
SHARES = st.floats(0, 1)


def report(version: int | str, identical: int = 20) -> SmokeReport:
    count = {"users": 20, "identical": identical}
    return SmokeReport.model_validate(
        {"tag": f"shop:{version}", "model": f"shop-bundle:{version}", "smoke": {"next": count}}
    )


def deployed(version: int | str) -> Deployed:
    return Deployed(bento=f"shop:{version}", model=f"shop-bundle:{version}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "serving" / "pointer.json"


def split(share: float) -> Pointer:
    moment = "2024-01-01T00:00:00Z"
    return Pointer.model_validate(
        {"champion": deployed(1), "challenger": deployed(2), "share": share, "changed": moment}
    )


def test_first_is_the_champion_and_the_next_a_challenger_until_it_is_promoted(path: Path) -> None:
    assert deploy(path, report(1), 0.1).champion == deployed(1)
    assert Pointer.read(path).challenger is None
    deploy(path, report(2), 0.1)
    assert (Pointer.read(path).champion, Pointer.read(path).challenger) == (deployed(1), deployed(2))
    assert deploy(path, report(2), 0.5).share == 0.5
    promote(path)
    assert (Pointer.read(path).champion, Pointer.read(path).challenger) == (deployed(2), None)
    assert [change.act for change in Pointer.read(path).history] == ["deploy", "deploy", "deploy", "promote"]
    assert Pointer.read(path).in_use == {"shop:1", "shop:2"}


def test_a_bento_without_a_passed_smoke_test_changes_nothing(path: Path) -> None:
    deploy(path, report(1), 0.1)
    before = path.read_bytes()
    untested = report(2).model_copy(update={"smoke": {}})
    for bad, message in ((report(2, identical=19), "next 19 of 20"), (untested, "no list was compared")):
        with pytest.raises(GateError, match=f"shop:2 has not passed its smoke test: {message}"):
            deploy(path, bad, 0.1)
    assert path.read_bytes() == before


def test_errors_say_what_to_do(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"pointer\.json: is missing.*run `tierrec deploy`"):
        Pointer.read(path)
    for act in (promote, rollback):
        with pytest.raises(SettingsError, match=r"no challenger|no previous champion"):
            act(path)
    deploy(path, report(1), 0.1)
    with pytest.raises(SettingsError, match="shop:1 is the champion already"):
        deploy(path, report(1), 0.1)
    with pytest.raises(SettingsError, match=r"share: input should be less than or equal to 1; found 1\.5"):
        deploy(path, report(2), 1.5)
    deploy(path, report(2), 0.1)
    promote(path)
    with pytest.raises(ArtifactError, match=r"previous champion shop:1 is not in the store; wanted one of shop:2"):
        rollback(path, {"shop:2"})
    assert rollback(path, {"shop:1"}).champion == deployed(1)
    path.write_text(path.read_text().replace('"share"', '"shares"', 1))
    with pytest.raises(SettingsError, match=r"pointer\.json: .*shares: unknown key; did you mean 'share'"):
        Pointer.read(path)


@given(st.lists(st.sampled_from(["promote", "rollback", 1, 2, 3, 4]), max_size=30))
def test_any_history_agrees_with_a_list_of_champions(tmp_path_factory: pytest.TempPathFactory, acts: list) -> None:
    path = tmp_path_factory.mktemp("history") / "pointer.json"
    line: list[int] = []
    challenger: int | None = None
    for act in acts:
        match act:
            case "promote" if challenger is not None:
                promote(path)
                line, challenger = [*line, challenger], None
            case "rollback" if challenger is not None:
                rollback(path)
                challenger = None
            case "rollback" if len(line) > 1:
                rollback(path)
                line = line[:-1]
            case int(version) if not line:
                deploy(path, report(version), 0.1)
                line = [version]
            case int(version) if version != line[-1]:
                deploy(path, report(version), 0.1)
                challenger = version
            case _:
                continue
        now = Pointer.read(path)
        assert now.champion == deployed(line[-1])
        assert now.challenger == (None if challenger is None else deployed(challenger))
        assert now.previous == (deployed(line[-2]) if len(line) > 1 else None)
        assert now.revision == now.history[-1].revision == len(now.history)


@pytest.mark.medium
def test_history_is_bounded_and_keeps_the_previous_champion(path: Path) -> None:
    deploy(path, report(1), 0.1)
    deploy(path, report(2), 0.1)
    promote(path)
    for share in range(120):
        deploy(path, report(3), share / 200)
    now = Pointer.read(path)
    assert (now.revision, len(now.history)) == (123, 100)
    assert now.previous == deployed(1)
    assert rollback(path).champion == deployed(2)
    assert rollback(path).champion == deployed(1)


@given(st.text(max_size=20), st.text(max_size=20), SHARES, SHARES)
def test_users_keep_their_side_while_the_share_grows(user: str, salt: str, one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert split(small).route(user, salt) == split(small).route(user, salt)
    if split(small).route(user, salt) == "challenger":
        assert split(large).route(user, salt) == "challenger"
    assert split(0).route(user, salt) == "champion"
    assert split(1).route(user, salt) == "challenger"


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_share_of_users_is_the_requested_one(share: float) -> None:
    num_users = 20_000
    pointer = split(share)
    sides = [pointer.route(str(user), "release") for user in range(num_users)]
    low, high = binom.ppf([1e-6, 1 - 1e-6], num_users, share)
    assert low <= sides.count("challenger") <= high
    other = [pointer.route(str(user), "other") for user in range(num_users)]
    both = sum(one == two == "challenger" for one, two in zip(sides, other, strict=True))
    low, high = binom.ppf([1e-6, 1 - 1e-6], num_users, share**2)
    assert low <= both <= high


def change_often(path: Path, versions: Iterator[int], done: int) -> None:
    for version in versions:
        deploy(path, report(version), 0.1)
        if done:
            (path.parent / f"done-{os.getpid()}").write_text(str(Pointer.read(path).revision))


def test_two_writers_lose_no_update(path: Path) -> None:
    deploy(path, report("first"), 0.1)
    writers = [FORK.Process(target=change_often, args=(path, range(base, base + 20), 0)) for base in (100, 200)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    now = Pointer.read(path)
    assert now.revision == 41
    seen = {change.challenger.bento for change in now.history if change.challenger}
    assert seen == {f"shop:{base + step}" for base in (100, 200) for step in range(20)}


def five_champions(path: Path) -> int:
    """Make five Bentos the champion, one after the other; the revision."""
    deploy(path, report(1), 0.1)
    for version in range(2, 6):
        deploy(path, report(version), 0.1)
        promote(path)
    return Pointer.read(path).revision


CHANGES: dict[str, Callable[[Path, int], Pointer]] = {
    "rollback": lambda path, seen: rollback(path, seen=seen),
    "promote": lambda path, seen: promote(path, seen=seen),
    "deploy": lambda path, seen: deploy(path, report(9), 0.3, seen=seen),
}


def change_at_once(name: str, path: Path, seen: int, barrier: Any, ends: Any) -> None:
    barrier.wait()
    try:
        CHANGES[name](path, seen)
    except PointerConflictError as error:
        ends.put((name, str(error)))
    else:
        ends.put((name, ""))


@pytest.mark.parametrize("names", [("rollback",) * 4, ("rollback", "promote", "deploy", "deploy")])
@pytest.mark.parametrize("are_threads", [True, False])
def test_of_changes_decided_on_one_revision_only_the_first_is_made(
    path: Path, names: tuple[str, ...], are_threads: bool
) -> None:
    seen = five_champions(path)
    if "promote" in names:
        seen = deploy(path, report(6), 0.2).revision
    start, barrier, ends = (
        (Thread, threading.Barrier(4), queue.SimpleQueue())
        if are_threads
        else (FORK.Process, FORK.Barrier(4), FORK.SimpleQueue())
    )
    parts = [start(target=change_at_once, args=(name, path, seen, barrier, ends)) for name in names]
    for part in parts:
        part.start()
    results = [ends.get() for _ in parts]
    for part in parts:
        part.join()
    now = Pointer.read(path)
    (winner,) = [name for name, error in results if not error]
    assert (now.revision, now.history[-1].act) == (seen + 1, winner)
    assert now.champion == deployed({"rollback": 5, "promote": 6, "deploy": 5}[winner] if "promote" in names else 4)
    for name, error in results:
        if error:
            assert f"{name}: {path} has changed meanwhile, from revision {seen} to {seen + 1}: {winner} at" in error
            assert f"made {now.champion.bento} the champion" in error


def test_a_change_decided_on_a_pointer_that_is_gone_or_new_is_refused(path: Path) -> None:
    assert deploy(path, report(1), 0.1, seen=0).revision == 1
    with pytest.raises(PointerConflictError, match=r"from revision 0 to 1: deploy at .* made shop:1 the champion"):
        deploy(path, report(2), 0.1, seen=0)
    path.unlink()
    with pytest.raises(PointerConflictError, match="from revision 1 to 0: it was replaced"):
        promote(path, seen=1)


def test_the_revision_at_a_moment_is_that_of_the_last_change_before_it(path: Path) -> None:
    assert revision_at(path, datetime.now(UTC)) == 0
    newest = five_champions(path)
    history = Pointer.read(path).history
    assert [revision_at(path, change.at) for change in history] == list(range(1, newest + 1))
    assert revision_at(path, history[0].at - timedelta(seconds=1)) == 0
    text = path.read_text().replace(history[-1].at.isoformat()[:10], "2999-01-01")
    path.write_text(text)
    assert revision_at(path, datetime.now(UTC)) == newest, "a clock that was set back does not forbid changes"


def test_a_killed_writer_leaves_a_complete_pointer_and_no_lock(path: Path) -> None:
    deploy(path, report("first"), 0.1)
    for seed in range(8):
        before = Pointer.read(path).revision
        writer = FORK.Process(target=change_often, args=(path, range(10**6), 1))
        writer.start()
        progress = path.parent / f"done-{writer.pid}"
        while not progress.exists():
            time.sleep(0.001)
        time.sleep(0.003 + 0.0007 * seed)
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        after = Pointer.read(path)
        assert after.revision >= max(int(progress.read_text() or 0), before + 1)
        assert after.history[-1].challenger == after.challenger
    assert deploy(path, report("last"), 0.2).challenger == deployed("last")


def test_a_watcher_detects_every_replacement_and_checks_at_intervals(path: Path) -> None:
    now = [100.0]
    watch = FileWatcher(path, clock=lambda: now[0])
    assert not watch.changed()
    deploy(path, report(1), 0.1)
    assert not watch.changed(), "it checked again at once"
    now[0] += 0.06
    assert watch.changed()
    now[0] += 0.06
    assert not watch.changed()
    for version in range(2, 12):
        deploy(path, report(version), 0.1)
        now[0] += 0.06
        assert watch.changed()
    path.unlink()
    now[0] += 0.06
    assert watch.changed()


def test_a_smoke_report_ignores_other_keys_of_bento_json(tmp_path: Path) -> None:
    raw = {"tag": "a:1", "model": "a-bundle:2", "more": [1], "smoke": {"next": {"users": 3, "identical": 3, "p50": 1}}}
    artifacts.write_json(raw, tmp_path / "bento.json")
    SmokeReport.read(tmp_path / "bento.json").require_passed()
    with pytest.raises(ArtifactError, match="run `tierrec run`"):
        SmokeReport.read(tmp_path / "none.json")
    artifacts.write_json(raw | {"smoke": {"next": {"users": 0, "identical": 0}}}, tmp_path / "bento.json")
    with pytest.raises(SettingsError, match=r"smoke\.next\.users"):
        SmokeReport.read(tmp_path / "bento.json")


class LostAnswers:
    """A target whose client repeats each write, since the first answer is lost, and so meets its own change."""

    def __init__(self) -> None:
        self.pointer: Pointer | None = None
        self.is_taken = False

    def read(self) -> Pointer | None:
        return self.pointer

    def write(self, pointer: Pointer) -> None:
        if not self.is_taken:
            self.pointer = pointer
        raise PointerConflictError("another process has changed the pointer")


def test_a_write_whose_answer_was_lost_counts_and_one_that_came_late_does_not(path: Path) -> None:
    target = LostAnswers()
    first = deploy(path, report(1), 0.1, target=target)
    assert Pointer.read(path) == target.pointer == first
    target.is_taken = True
    with pytest.raises(PointerConflictError):
        deploy(path, report(2), 0.1, target=target)
    assert Pointer.read(path) == first
