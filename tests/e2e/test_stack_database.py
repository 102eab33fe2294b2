"""A stack whose server keeps its runs in PostgreSQL."""

from pathlib import Path

import psycopg
import pytest

from tests.support.postgres import running
from tests.support.projects import command
from tests.support.stacks import Stack, free_ports, toys


@pytest.mark.slow
def test_runs_are_kept_in_postgresql_and_its_password_is_not_shown(tmp_path: Path):
    stack = Stack(toys(tmp_path / "shop"), *free_ports(2))
    with running() as url:
        # The server trusts everybody on its socket, so that any password will do.
        told = url.replace("postgresql://postgres@", "postgresql://postgres:secret@")
        try:
            said = stack.up("--database", told)
            assert said.returncode == 0, said.stdout + said.stderr
            assert stack.end_of(stack.run("hello", name="kept")) == "COMPLETED"
            with psycopg.connect(url) as database:
                kept = database.execute("select parameters->>'name', state_type from flow_run").fetchall()
            assert kept == [("kept", "COMPLETED")]
            assert list((stack.root / ".prefect").glob("*.db")) == []

            shown = [command(stack.root, "tierrec", "stack", "status", "--json").stdout, said.stdout]
            shown += [path.read_text() for path in (stack.root / "data/loop/stack").rglob("*.log")]
            shown.append((stack.root / "data/loop/stack/stack.json").read_text())
            assert "postgres:***@" in shown[-1]
            assert not any("secret" in one for one in shown)
            other = stack.up("--database", "postgresql://elsewhere/prefect")
            assert other.returncode == 2
            assert "tierrec stack down" in other.stderr
        finally:
            stack.down()
    assert stack.processes() == []
