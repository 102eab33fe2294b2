"""stack.json: the addresses and options of the running stack, for other commands."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Self

from flows.stack.folder import StackError, StackFolder
from flows.stack.plan import StackOptions, mask_password
from tierrec_core.base import artifacts
from tierrec_core.settings import Params, parse


class StackState(Params):
    """ports: by part; started: UTC; parts: the required ones; database: without its password, None for SQLite;
    cuda: whether torch sees a GPU"""

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

    @classmethod
    def make(cls, options: StackOptions, parts: tuple[str, ...], *, started: str, cuda: bool) -> Self:
        """The state of a stack with these options and parts."""
        return cls(
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

    @classmethod
    def read(cls, folder: StackFolder) -> Self | None:
        """The state of the stack that is up; None when none is."""
        if not folder.state.exists():
            return None
        return parse(cls, artifacts.read_json(folder.state), str(folder.state))

    def write(self, folder: StackFolder) -> None:
        """Write stack.json atomically."""
        artifacts.write_json(self.model_dump(mode="json"), folder.state)

    @property
    def options(self) -> StackOptions:
        """The options that the stack was started with, without the database's password."""
        return StackOptions(
            server_port=self.ports["server"],
            service_port=self.ports["service"],
            host=self.host,
            workers=self.workers,
            database=self.database,
            schedules=self.schedules,
        )


def resolve_options(requested: Mapping[str, Any], running: StackState | None) -> StackOptions:
    """The requested options, else those of the running stack, else the defaults; None values are not requested.

    Raises StackError when a running part would have to change.
    """
    given = {name: value for name, value in requested.items() if value is not None}
    if running is None:
        return StackOptions(**given)
    current = asdict(running.options)
    shown = given | ({"database": mask_password(given["database"])} if "database" in given else {})
    changed = [name for name in shown if name != "schedules" and shown[name] != current[name]]
    if changed:
        differences = ", ".join(f"{name} {current[name]} (asked: {shown[name]})" for name in changed)
        raise StackError(f"the stack runs with {differences}; `tierrec stack down`, then `tierrec stack up` with it")
    return replace(running.options, **({"schedules": given["schedules"]} if "schedules" in given else {}))
