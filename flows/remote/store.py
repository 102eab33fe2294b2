"""The DVC remote that carries results between a project and the clones of its workers."""

from collections.abc import Mapping
from pathlib import Path

from dvc.config import Config, ConfigError
from dvc.exceptions import DvcException
from dvc.repo import Repo

from flows.stages import held
from tierrec_core.errors import SettingsError
from tierrec_core.layout import Layout

NAME = "tierrec"
# What a clone may be told of a remote. Keys and passwords stay where they are: a worker has its own.
_TOLD = (
    "url",
    "endpointurl",
    "region",
    "profile",
    "use_ssl",
    "ssl_verify",
    "account_name",
    "projectname",
    "port",
    "user",
)


def known(root: Path) -> Mapping[str, str] | None:
    """The project's default remote, for a clone: its name, its URL in full, and how it is reached; None without one.

    Raises SettingsError when DVC cannot read its configuration.
    """
    try:
        config = Config(dvc_dir=str(root / ".dvc"), validate=False)  # what is written there, without defaults
    except (ConfigError, DvcException) as error:
        raise SettingsError(f"{root / '.dvc' / 'config'}: DVC cannot read it: {error}; mend it") from error
    name = config.get("core", {}).get("remote")
    section = config.get("remote", {}).get(name)
    if not section:
        return None
    return {"name": str(name)} | {key: str(section[key]) for key in _TOLD if section.get(key) is not None}


def provide(root: Path) -> Mapping[str, str]:
    """As `known`; a project without a remote gets a folder of its own as one, in DVC's local configuration."""
    found = known(root)
    if found is None:
        with held(root):
            use(root, {"name": NAME, "url": str((Layout(root).loop / "remote").resolve())})
        found = known(root)
    if found is None:
        raise SettingsError(f"{root / '.dvc' / 'config.local'}: the remote that was added is not there")
    return found


def use(root: Path, remote: Mapping[str, str], cache: Path | None = None) -> None:
    """Make a remote the default one, and a folder the cache, in DVC's local configuration, which git does not see."""
    config = Config(dvc_dir=str(root / ".dvc"), validate=False)
    section = {key: value for key, value in remote.items() if key != "name"}
    with config.edit("local") as local:
        local["core"]["remote"] = remote["name"]
        local["remote"][remote["name"]] = local["remote"].get(remote["name"], {}) | section
        if cache is not None:
            local["cache"]["dir"] = str(cache)


def hide_results(repo: Repo) -> None:
    """Have git ignore the outputs that are there, as DVC does when a stage ends: half of one is no part of a revision.

    Raises SettingsError when git tracks an output.
    """
    try:
        for out in repo.index.outs:
            if out.exists:
                out.ignore()
    except DvcException as error:
        raise SettingsError(f"{repo.root_dir}: {' '.join(str(error).split())}") from error
