"""The DVC remote that carries outputs between a project and the clones of its workers."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from dvc.config import Config, ConfigError
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.db import get_index
from dvc_data.hashfile.gc import gc
from dvc_data.hashfile.hash_info import HashInfo

from flows.graph.dvc_graph import locked_repo
from tierrec_core.base.errors import SettingsError
from tierrec_core.base.paths import Layout

NAME = "tierrec"
MAX_BYTES = 5 * 2**30  # of a project's own remote, before outdated outputs are deleted
# Options of a remote that are sent to workers. Keys and passwords are not: each worker has its own.
_SENT_OPTIONS = (
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
    """The project's default remote as a clone needs it: name, full URL and options; None without one.

    Raises SettingsError when DVC cannot read its configuration.
    """
    try:
        config = Config(dvc_dir=str(root / ".dvc"), validate=False)  # without defaults
    except (ConfigError, DvcException) as error:
        raise SettingsError(f"{root / '.dvc' / 'config'}: DVC cannot read it: {error}; correct it") from error
    name = config.get("core", {}).get("remote")
    section = config.get("remote", {}).get(name)
    if not section:
        return None
    options = {key: str(section[key]) for key in _SENT_OPTIONS if section.get(key) is not None}
    return {"name": str(name)} | options


def ensure_remote(root: Path) -> Mapping[str, str]:
    """As `read_remote`; a project without a remote gets a folder in data/loop as one, in DVC's local configuration."""
    remote = read_remote(root)
    if remote is None:
        remote = {"name": NAME, "url": str(_own_remote(root))}
        with locked_repo(root):
            set_remote(root, remote)
    return remote


def set_remote(root: Path, remote: Mapping[str, str], cache: Path | None = None) -> None:
    """Set the default remote, and the cache folder, in DVC's local configuration, which git ignores."""
    config = Config(dvc_dir=str(root / ".dvc"), validate=False)
    section = {key: value for key, value in remote.items() if key != "name"}
    with config.edit("local") as local:
        local["core"]["remote"] = remote["name"]
        local["remote"][remote["name"]] = local["remote"].get(remote["name"], {}) | section
        if cache is not None:
            local["cache"]["dir"] = str(cache)


def prune_remote(root: Path, max_bytes: int = MAX_BYTES) -> int:
    """Delete outputs that dvc.lock no longer names from the folder that `ensure_remote` added, if it is too large.

    Returns the number of deleted files; the project's cache still has them. No stage may be running elsewhere: no
    dvc.lock names a worker's outputs until they are fetched. Raises SettingsError if DVC cannot list those in use.
    """
    remote = read_remote(root)
    folder = _own_remote(root)
    if remote is None or remote["url"] != str(folder) or folder_size(folder) <= max_bytes:
        return 0
    try:
        with locked_repo(root) as repo:
            used = set[HashInfo]().union(*repo.used_objs().values())
            database = repo.cloud.get_remote_odb(remote["name"], "gc", hash_name="md5")
            shutil.rmtree(folder / "runs", ignore_errors=True)  # the run-cache refers to outputs that may be deleted
            get_index(database).clear()
            return int(gc(database, used))
    except DvcException as error:
        raise SettingsError(f"{folder}: cannot be pruned: {' '.join(str(error).split())}") from error


def folder_size(folder: Path) -> int:
    """Bytes of all files below the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _own_remote(root: Path) -> Path:
    return (Layout(root).loop / "remote").resolve()


def ignore_outputs(repo: Repo) -> None:
    """Have git ignore existing outputs, as DVC does when a stage ends, so that no snapshot holds a partial output.

    Raises SettingsError when git tracks an output.
    """
    try:
        for out in repo.index.outs:
            if out.exists:
                out.ignore()
    except DvcException as error:
        raise SettingsError(f"{repo.root_dir}: {' '.join(str(error).split())}") from error
