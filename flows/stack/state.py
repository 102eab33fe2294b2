"""stack.json: where a running stack answers and what was asked for, so that other commands find it."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import StackOptions, mask_password
from tierrec_core.base import artifacts
from tierrec_core.settings import Params, parse


class StackState(Params):
    """ports: by part; started: UTC; parts: those that are wanted; database: without its password, None for SQLite;
    cuda: whether torch sees a GPU here"""

    api_url: str
    service_url: str | None
    ports: dict[str, int]
    started: str
    parts: tuple[str, ...]
    host: str
    workers: int
    database: str | None
    schedules: bool
    cuda: bool

    @property
    def options(self) -> StackOptions:
        """What was asked for; the database's password is not in it."""
        return StackOptions(
            server_port=self.ports["server"],
            service_port=self.ports["service"],
            host=self.host,
            workers=self.workers,
            database=self.database,
            schedules=self.schedules,
        )


def read(folder: StackFolder) -> StackState | None:
    """What the stack wrote when it came up; None when none did, or it was taken down."""
    if not folder.state.exists():
        return None
    return parse(StackState, artifacts.read_json(folder.state), str(folder.state))


def write(folder: StackFolder, state: StackState) -> None:
    """Write it, in one step."""
    artifacts.write_json(state.model_dump(mode="json"), folder.state)


def make(options: StackOptions, parts: tuple[str, ...], *, started: str, cuda: bool) -> StackState:
    """The state of a stack with these parts."""
    return StackState(
        api_url=options.api_url,
        service_url=options.service_url if "service" in parts else None,
        ports={"server": options.server_port, "service": options.service_port},
        started=started,
        parts=parts,
        host=options.host,
        workers=options.workers,
        database=mask_password(options.database) if options.database else None,
        schedules=options.schedules,
        cuda=cuda,
    )


def choose(asked: Mapping[str, Any], running: StackState | None) -> StackOptions:
    """The options of a stack: what was asked, else what the running one has, else the defaults.

    Raises StackError where a running part would have to change for it.
    """
    given = {name: value for name, value in asked.items() if value is not None}
    if running is None:
        return StackOptions(**given)
    known = asdict(running.options)
    shown = given | ({"database": mask_password(given["database"])} if "database" in given else {})
    fixed = [name for name in shown if name != "schedules" and shown[name] != known[name]]
    if fixed:
        differing = ", ".join(f"{name} {known[name]} (asked: {shown[name]})" for name in fixed)
        raise StackError(
            f"the stack runs with {differing}; `tierrec stack down`, then `tierrec stack up` with it"
        )
    return replace(running.options, **({"schedules": given["schedules"]} if "schedules" in given else {}))
