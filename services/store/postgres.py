"""Connections to PostgreSQL that give up: a frozen server, or a network that is gone, never answers."""

import time
from typing import Any

import psycopg

_SECONDS = 5.0
_SETTINGS = {
    "statement_timeout": "10min",  # of a client that has given up
    "idle_in_transaction_session_timeout": "60s",  # of a client that is frozen and holds a lock
}


class ImpatientConnection(psycopg.Connection[Any]):
    """Waits for each answer of the server for at most `seconds`; then it closes, and raises OperationalError."""

    seconds = _SECONDS

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """Wait for one exchange with the server."""
        start = time.monotonic()
        try:
            return super().wait(gen, interval, self.seconds if timeout is None else timeout)
        except psycopg.OperationalError as error:
            if time.monotonic() - start < self.seconds:
                raise
            self.pgconn.finish()  # else a rollback would wait again
            raise psycopg.OperationalError(f"the server does not answer within {self.seconds:g} s") from error


def connect(*args: Any, **parameters: Any) -> ImpatientConnection:
    """Connect within the limit, and set the server's own limits."""
    limit = {"connect_timeout": round(_SECONDS)}
    connection = ImpatientConnection.connect(*args, **limit | parameters)
    for name, value in _SETTINGS.items():
        connection.execute("select set_config(%s, %s, false)", (name, value))
    connection.commit()
    return connection
