"""Serve the packaged Bento in the foreground: what `tierrec serve` does."""

import contextlib
import json
import signal
import sys
from typing import NoReturn

from services.auth.keys import FILE as KEYS
from services.auth.keys import Keyring, check_host
from services.deployment.package import ensure
from services.deployment.server import HOST, is_free, serving
from services.shared_files import serving_folder
from tierrec_core.base.errors import SettingsError, StageError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import read_settings

_QUESTION = json.dumps({"user_id": "1", "k": 5})


def run_server(layout: Layout, port: int = 3000, workers: int = 1, host: str = HOST) -> None:
    """Serve until Ctrl-C or SIGTERM, after telling how to ask; build the Bento if it is gone.

    Raises ArtifactError when nothing is packaged, SettingsError when the port is taken or the host may be reached
    by others and there is no key, StageError when the server does not start or ends by itself.
    """
    folder = serving_folder(layout)
    warning = check_host(Keyring.read(folder / KEYS), host)
    tag = ensure(layout, read_settings(layout.params))
    if not is_free(port):
        raise SettingsError(f"serve: port {port} is taken, wanted a free one; choose another with --port")
    signal.signal(signal.SIGTERM, _interrupt)
    with (
        contextlib.suppress(KeyboardInterrupt),
        serving(layout.bento_home, tag, folder=folder, host=host, port=port, workers=workers) as server,
    ):
        if warning:
            print(warning, file=sys.stderr)
        print(f"{tag} answers at {server.url}, a page that describes its API. Ctrl-C ends it. Try:")
        print(f"  curl {server.url}/recommend -H 'Content-Type: application/json' -d '{_QUESTION}'", flush=True)
        code = server.process.wait()
        raise StageError(f"serve: {tag} ended by itself with exit code {code}; its last lines are above")


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
