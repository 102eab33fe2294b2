"""The DVC remote that carries results between a project and the clones of its workers."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from dvc.config import Config, ConfigError
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import get_index
from dvc_data.hashfile.gc import gc
from dvc_data.hashfile.hash_info import HashInfo

from flows.gpu import cache_gc
from flows.graph.dvc_graph import locked_repo
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout

NAME = "tierrec"
MOST_BYTES = 5 * 2**30  # in a project's own remote, before what is no result of now goes
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


def read_remote(root: Path) -> Mapping[str, str] | None:
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


def ensure_remote(root: Path) -> Mapping[str, str]:
    """As `known`; a project without a remote gets a folder of its own as one, in DVC's local configuration."""
    found = read_remote(root)
    if found is None:
        with locked_repo(root):
            set_remote(root, {"name": NAME, "url": str(_own(root))})
        found = read_remote(root)
    if found is None:
        raise SettingsError(f"{root / '.dvc' / 'config.local'}: the remote that was added is not there")
    return found


def set_remote(root: Path, remote: Mapping[str, str], cache: Path | None = None) -> None:
    """Make a remote the default one, and a folder the cache, in DVC's local configuration, which git does not see."""
    config = Config(dvc_dir=str(root / ".dvc"), validate=False)
    section = {key: value for key, value in remote.items() if key != "name"}
    with config.edit("local") as local:
        local["core"]["remote"] = remote["name"]
        local["remote"][remote["name"]] = local["remote"].get(remote["name"], {}) | section
        if cache is not None:
            local["cache"]["dir"] = str(cache)


def prune_remote(root: Path, most_bytes: int = MOST_BYTES) -> int:
    """Where the remote is the folder that `provide` gave and is larger: leave the results that dvc.lock names now.

    How many files went; the project's cache has them still. Only to be called while no stage is out: a worker's result
    that was not fetched yet is in no dvc.lock. Raises SettingsError when DVC cannot tell what is used.
    """
    found = read_remote(root)
    if found is None or found["url"] != str(_own(root)) or cache_gc.folder_size(_own(root)) <= most_bytes:
        return 0
    try:
        with locked_repo(root) as repo:
            used = set[HashInfo]().union(*repo.used_objs().values())
            remote = repo.cloud.get_remote_odb(found["name"], "gc", hash_name="md5")
            shutil.rmtree(_own(root) / "runs", ignore_errors=True)  # what they tell of may go
            get_index(remote).clear()
            return int(gc(remote, used))
    except DvcException as error:
        raise SettingsError(f"{_own(root)}: cannot be tidied: {' '.join(str(error).split())}") from error


def _own(root: Path) -> Path:
    return (Layout(root).loop / "remote").resolve()


def ignore_outputs(repo: Repo) -> None:
    """Have git ignore the outputs that are there, as DVC does when a stage ends: half of one is no part of a revision.

    Raises SettingsError when git tracks an output.
    """
    try:
        for out in repo.index.outs:
            if out.exists:
                out.ignore()
    except DvcException as error:
        raise SettingsError(f"{repo.root_dir}: {' '.join(str(error).split())}") from error
