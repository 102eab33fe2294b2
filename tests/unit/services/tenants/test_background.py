"""Jobs that requests wait for briefly, and pools that refuse what they cannot take."""

import asyncio
import threading
import time

import pytest

from services.observability.access_log import current_request_id, start_request
from services.tenants.background import BackgroundJob, Bulkhead, OverloadError

LONG = 30.0


def test_a_change_is_waited_for_and_made_once_for_all_who_wait():
    runs: list[int] = []
    job = BackgroundJob("job", lambda: runs.append(1), lambda: len(runs) > 0)

    async def wait() -> None:
        await asyncio.gather(*(job.catch_up(LONG) for _ in range(20)))

    asyncio.run(wait())
    assert runs == [1]
    job.close()


def test_a_slow_run_is_waited_for_once():
    ended = threading.Event()
    job = BackgroundJob("job", lambda: bool(ended.wait(LONG)), ended.is_set)
    waits = []
    for _ in range(3):
        start = time.monotonic()
        asyncio.run(job.catch_up(2.0))
        waits.append(time.monotonic() - start)
    assert waits[0] >= 2
    assert max(waits[1:]) < 1
    ended.set()
    job.close()


class PanicError(BaseException):
    """Like that of Rust libraries, no Exception."""


@pytest.mark.parametrize("error", [ZeroDivisionError, PanicError])
def test_a_job_that_fails_runs_again(error: type[BaseException]):
    runs: list[int] = []

    def fail_first() -> None:
        runs.append(1)
        if len(runs) < 2:
            raise error

    job = BackgroundJob("job", fail_first, lambda: len(runs) > 1)
    asyncio.run(job.catch_up(LONG))
    assert len(runs) == 2
    job.close()


def test_a_pool_refuses_what_it_cannot_take_and_goes_on():
    pool, free = Bulkhead("pool", threads=1, waiting=1), threading.Event()

    async def fill() -> list[object]:
        calls = [asyncio.create_task(pool.run(free.wait, LONG)) for _ in range(3)]
        await asyncio.sleep(0)
        free.set()
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(fill())
    assert (first, second) == (True, True)
    assert isinstance(third, OverloadError)
    assert asyncio.run(pool.run(str, 1)) == "1"
    pool.close()


def test_a_call_knows_its_request():
    pool = Bulkhead("pool", threads=1, waiting=0)

    async def ask() -> tuple[str, str]:
        return start_request(), await pool.run(current_request_id)

    name, known = asyncio.run(ask())
    assert name == known
    with pytest.raises(ZeroDivisionError):
        asyncio.run(pool.run(divmod, 1, 0))
    pool.close()
