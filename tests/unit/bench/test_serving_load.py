"""The load generator against a server whose failures are known, and what the benchmark makes of its samples."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.serving.crash_test import EventPoster, compare
from benchmarks.serving.harness.load import HOST, Load, drive, post
from benchmarks.serving.process_tree import ProcessTree, slope
from benchmarks.serving.report import Target, merge, paired
from tierrec_core.base import artifacts

GOOD, BUSY, GONE, ENDLESS, LAST = "good", "busy", "gone", "endless", "last"
ANSWERS = {
    GOOD: b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + b'{"path":"a"}',
    BUSY: b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy",
    GONE: b"",
    ENDLESS: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    LAST: b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
}
REASONS = {BUSY: "status 503", GONE: "ConnectionResetError", ENDLESS: "ValueError"}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]


class Server:
    """Answers request after request as its script says, and keeps what it was sent."""

    def __init__(self, script: Sequence[str]) -> None:
        self._script = iter(script)
        self.bodies: list[bytes] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while (body := await read_request(reader)) is not None:
            self.bodies.append(body)
            kind = next(self._script)
            writer.write(ANSWERS[kind][:30])
            await asyncio.sleep(0)
            writer.write(ANSWERS[kind][30:])
            if kind in (GONE, LAST):
                break
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> bytes | None:
    """The body of the next request; None when the other side has closed."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return None
    return await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def path(body: bytes) -> str:
    return str(json.loads(body).get("path"))


async def loaded(server: Server, count: int, concurrency: int, **options: Any) -> Load:
    async with listening(server) as port:
        requests = (post("/recommend", {"number": number}) for number in range(count))
        return await drive(port, requests, concurrency, path, **options)


@given(st.lists(st.sampled_from(sorted(ANSWERS)), max_size=30), st.integers(1, 5))
def test_every_request_is_sent_once_and_counted_as_what_became_of_it(script: list[str], concurrency: int) -> None:
    server = Server(script)
    load = asyncio.run(loaded(server, len(script), concurrency))
    numbers = sorted(json.loads(body)["number"] for body in server.bodies)
    assert numbers == list(range(len(script)))
    expected = {REASONS[kind]: script.count(kind) for kind in REASONS if kind in script}
    assert load.failures == expected
    assert load.num_requests == len(script)
    assert load.num_failed == sum(expected.values())
    seen = {"a": script.count(GOOD), "None": script.count(LAST)}
    assert load.seen == {name: count for name, count in seen.items() if count}


def test_a_port_where_nobody_listens_is_a_failure_for_each_request() -> None:
    async def main() -> Load:
        async with listening(Server([])) as port:
            pass
        return await drive(port, [post("/", {})] * 3, 2)

    load = asyncio.run(main())
    assert load.failures == {"ConnectionRefusedError": 3}
    assert load.latencies == ()


def test_connections_stay_open_unless_limited() -> None:
    server = Server([GOOD] * 40)
    asyncio.run(loaded(server, 20, 4))
    assert server.connections == 4
    asyncio.run(loaded(server, 20, 1, per_connection=5))
    assert server.connections == 4 + 4


def test_latency_is_the_servers() -> None:
    delays = [0.002, 0.02]

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waits = cycle(delays)
        while await read_request(reader) is not None:
            await asyncio.sleep(next(waits))
            writer.write(ANSWERS[GOOD])
        writer.close()

    async def main() -> Load:
        async with listening(slow) as port:
            return await drive(port, [post("/", {})] * 6, 1)

    load = asyncio.run(main())
    assert len(load.latencies) == 6
    for latency, delay in zip(load.latencies, islice(cycle(delays), 6), strict=True):
        assert latency >= delay
    assert load.seconds >= sum(load.latencies)
    assert load.percentile_ms(100) == 1000 * max(load.latencies)


@given(st.floats(-5, 5), st.floats(0, 1000), st.lists(st.floats(0, 1e4), min_size=4, max_size=4))
def test_slope_is_that_of_a_line_whatever_the_first_quarter_was(growth: float, base: float, start: list[float]) -> None:
    counts = np.arange(0, 32_000, 2_000)
    sizes = np.concatenate([start, base + growth * counts[4:] / 10_000])
    assert slope(counts.tolist(), sizes.tolist(), per=10_000) == pytest.approx(growth, abs=1e-6)


def test_slope_wants_two_samples() -> None:
    with pytest.raises(ValueError, match="1 samples are left of 1"):
        slope([1], [2.0], per=10)


def test_a_tree_is_a_process_and_what_it_started() -> None:
    burn = "import time\nwhile time.process_time() < 0.1: pass\nprint(time.process_time(), flush=True)\ninput()"
    shell = psutil.Popen(["sh", "-c", '"$0" -c "$1"; true', sys.executable, burn], stdin=PIPE, stdout=PIPE)
    burnt = float(shell.stdout.readline())
    family = ProcessTree(shell)
    assert family.members[0].name() == "sh"
    assert len(family.members) == 2
    assert family.cpu_seconds() == pytest.approx(burnt, abs=0.05)
    assert family.resident_mib() > ProcessTree(psutil.Process(family.members[1].pid)).resident_mib() > 1
    shell.communicate(b"\n")


@given(st.lists(st.integers(0, 20)), st.dictionaries(st.integers(0, 20).map(str), st.integers(1, 3)))
def test_lost_and_doubled_are_found(acknowledged: list[int], stored: dict[str, int]) -> None:
    found = compare([str(number) for number in acknowledged], stored)
    assert found["acknowledged"] == len({str(number) for number in acknowledged})
    assert found["lost"] == len([number for number in set(acknowledged) if str(number) not in stored])
    assert found["doubled"] == len([count for count in stored.values() if count > 1])


@given(st.lists(st.sampled_from(["stored", "refused", "acknowledged"]), max_size=20))
def test_a_poster_repeats_what_is_not_acknowledged_until_it_is(script: list[str]) -> None:
    """The server stores events and acknowledges them, or exits before or after it has stored them."""
    stored: set[str] = set()
    repeated = 0
    outcomes = iter([*script, *["acknowledged"] * 100])

    async def shop(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal repeated
        while (body := await read_request(reader)) is not None:
            keys, outcome = {event["session_id"] for event in json.loads(body)["events"]}, next(outcomes)
            if outcome == "refused":
                break
            duplicates = len(keys & stored)
            stored.update(keys)
            if outcome == "stored":
                break
            repeated += duplicates
            body = json.dumps({"duplicates": duplicates}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    async def main() -> EventPoster:
        async with listening(shop) as port:
            batches = [[{"session_id": f"{batch} {index}"} for index in range(3)] for batch in range(5)]
            poster = EventPoster(port, batches)
            await poster.post_all(2)
            return poster

    poster = asyncio.run(main())
    assert sorted(poster.acknowledged) == sorted(stored) == sorted(f"{b} {p}" for b in range(5) for p in range(3))
    assert poster.repeated == repeated


def test_a_ratio_is_the_median_of_rounds_measured_side_by_side() -> None:
    ratio = paired("ratio", [50.0, 90.0, 800.0], [100.0, 100.0, 1000.0])
    assert ratio == {"ratio": 0.8, "ratio_spread": [0.5, 0.9]}


def test_targets_are_floors_or_ceilings() -> None:
    floor, ceiling = Target("a", "", 0.85, is_floor=True), Target("b", "", 10)
    assert [floor.is_met(figure) for figure in (0.84, 0.85, 2)] == [False, True, True]
    assert [ceiling.is_met(figure) for figure in (9, 10, 10.1)] == [True, True, False]


def test_a_part_alone_leaves_the_figures_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "serving.json"
    merge(path, {"one": 1, "two": 2})
    assert merge(path, {"two": 3}) == {"one": 1, "two": 3} == artifacts.read_json(path)
