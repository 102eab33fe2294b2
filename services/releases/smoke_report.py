"""What a smoke test found, and whether that is good enough to be deployed."""

from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, NonNegativeInt, PositiveInt

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, GateError
from tierrec_core.settings import Params, parse


class ListCount(Params):
    """How many users' lists were asked for, and how many were the judged ones."""

    model_config = ConfigDict(extra="ignore")

    users: PositiveInt
    identical: NonNegativeInt


class SmokeReport(Params):
    """What the smoke test of a Bento found, by task: bento.json, whose further keys do not matter here."""

    model_config = ConfigDict(extra="ignore")

    tag: str
    model: str
    labels: dict[str, str] = Field(default_factory=dict)
    smoke: dict[str, ListCount]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read bento.json. Raises ArtifactError when it is missing, SettingsError when it holds something else."""
        if not path.exists():
            raise ArtifactError(f"{path}: is missing, wanted a packaged Bento; run `tierrec run`")
        return parse(cls, artifacts.read_json(path), str(path))

    def require_passed(self) -> None:
        """Raise GateError unless lists were compared and every one was the judged one."""
        failed = {task: count for task, count in self.smoke.items() if count.identical != count.users}
        if failed or not self.smoke:
            found = ", ".join(f"{task} {one.identical} of {one.users}" for task, one in failed.items())
            raise GateError(
                f"deploy: {self.tag} has not passed its smoke test: {found or 'no list was compared'}; "
                "wanted every served list to be the judged one\nrun `tierrec run` and deploy what it packages"
            )
