"""What is handed to supervisor: its own parser reads it, in projects whose paths are long or odd."""

import socket
import sys
from pathlib import Path

import pytest
from supervisor.options import ServerOptions

from flows.stack.folder import StackFolder
from flows.stack.plan import NAMES, StackOptions, stack_parts
from flows.stack.supervision.supervisor import Supervisor, supervisor_ini

ODD = "a shop; 100% %(here)s 'ours'"
LONG = "/".join(["a-rather-long-name-of-a-folder"] * 6)


def parsed(root: Path, monkeypatch: pytest.MonkeyPatch) -> ServerOptions:
    folder = StackFolder.of(root)
    folder.make()
    ini = folder.path / "supervisor.ini"
    ini.write_text(supervisor_ini(folder, stack_parts(root, StackOptions())))
    monkeypatch.chdir(folder.path)
    monkeypatch.setenv("TIERREC_PYTHON", sys.executable)
    options = ServerOptions()
    options.realize(["--configuration", ini.name])
    return options


@pytest.mark.parametrize("name", ["shop", ODD, LONG])
def test_supervisor_reads_its_configuration_in_any_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str):
    read = parsed(tmp_path / name, monkeypatch)
    programs = {group.name: group.process_configs[0] for group in read.process_group_configs}
    assert set(programs) == set(NAMES)
    for part, program in programs.items():
        assert program.command == f'"{sys.executable}" -m flows.stack.supervision.launch {part}'
        assert not program.autostart
        assert program.stopasgroup
        assert program.killasgroup
        assert Path(program.stdout_logfile).resolve() == StackFolder.of(tmp_path / name).log(part)
        assert program.stdout_logfile_backups > 0


@pytest.mark.parametrize("name", ["shop", ODD, LONG])
def test_the_socket_can_be_bound_under_supervisors_temporary_name(tmp_path: Path, name: str):
    folder = StackFolder.of(tmp_path / name)
    folder.make()
    # supervisor binds NAME.PID and renames it; Linux gives process ids of up to 7 digits
    temporary = Path(f"{folder.socket}.4194304")
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(temporary))
        assert temporary.is_socket()
    finally:
        temporary.unlink(missing_ok=True)


def test_projects_with_long_paths_do_not_share_a_socket(tmp_path: Path):
    one, other = StackFolder.of(tmp_path / LONG / "one"), StackFolder.of(tmp_path / LONG / "other")
    assert one.socket != other.socket
    assert one.socket == StackFolder.of(tmp_path / LONG / "one").socket
    assert one.socket.parent.stat().st_mode & 0o077 == 0


def test_a_supervisor_that_is_not_there_has_no_parts(tmp_path: Path):
    folder = StackFolder.of(tmp_path)
    folder.make()
    supervisor = Supervisor(folder)
    assert supervisor.pid is None
    assert supervisor.processes() == {}
