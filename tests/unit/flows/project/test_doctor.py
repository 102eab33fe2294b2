"""A port that the project's own stack holds is as it should be; one that another program holds is not."""

import contextlib
import socket
from pathlib import Path

import pytest

from flows.project.doctor import DoctorFinding, diagnose


@pytest.fixture
def taken(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        with contextlib.suppress(OSError):  # another program has it already
            server.bind(("127.0.0.1", 3000))
            server.listen()
        yield


def service_port(folder: Path, own_addresses: list[str]) -> DoctorFinding:
    return {finding.name: finding for finding in diagnose(folder, own_addresses)}["port 3000"]


@pytest.mark.usefixtures("taken")
def test_the_projects_own_service_may_hold_its_port(tmp_path: Path) -> None:
    found = service_port(tmp_path, ["http://127.0.0.1:4200/api", "http://0.0.0.0:3000", ""])
    assert found.is_ok
    assert found.detail == "taken by this project's stack (serve)"


@pytest.mark.usefixtures("taken")
def test_another_program_may_not(tmp_path: Path) -> None:
    found = service_port(tmp_path, ["http://127.0.0.1:4200/api"])
    assert not found.is_ok
    assert found.detail == "taken (serve)"
