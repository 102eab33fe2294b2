"""A server that PREFECT_API_URL names and that does not answer is named, with the remedies, before anything starts."""

import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from flows.pipeline.embedded_server import configure_prefect
from tests.support.projects import ENV, command, toy_project
from tierrec_core.base.errors import SettingsError

NOWHERE = "http://127.0.0.1:9/api"
REMEDY = "; unset it to run without a server, or start that server"


@pytest.fixture
def other_server() -> Iterator[str]:
    """A server that is not Prefect's."""
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://user:secret@127.0.0.1:{server.server_port}/api"
        server.shutdown()


@pytest.mark.parametrize("url", [NOWHERE, "localhost:4200", "http://127.0.0.1:x/api", "http:///api"])
def test_an_address_without_a_server_is_named(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(SettingsError) as refused:
        configure_prefect(tmp_path)
    assert str(refused.value).startswith(f"PREFECT_API_URL is {url}, where no server answers (")
    assert str(refused.value).endswith(REMEDY)


def test_another_server_is_named_without_its_password(
    other_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_API_URL", other_server)
    with pytest.raises(SettingsError) as refused:
        configure_prefect(tmp_path)
    shown = other_server.replace("secret", "***")
    assert str(refused.value).startswith(f"PREFECT_API_URL is {shown}, which is no usable server (Failed to reach")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("word", ["run", "approve"])
def test_a_command_ends_with_one_line(word: str, tmp_path: Path) -> None:
    toy_project(tmp_path, "stages: {one: {cmd: 'true'}}")
    done = command(tmp_path, "tierrec", word, env=ENV | {"PREFECT_API_URL": NOWHERE})
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: PREFECT_API_URL is {NOWHERE}, where no server answers")
    assert len(done.stderr.splitlines()) == 1
