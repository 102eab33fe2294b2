"""A key that may do everything, for tests of what nobody may do without one."""

import hashlib
import json
from pathlib import Path

from services.auth.keys import FILE, KeyScope

TOKEN = f"trk_00000000_{'0' * 43}"
HEADER = {"Authorization": f"Bearer {TOKEN}"}


def allow_all(folder: Path) -> None:
    """Write the keys of the shop with this state folder."""
    key = {
        "id": "00000000",
        "hash": hashlib.sha256(TOKEN.encode()).hexdigest(),
        "scopes": list(KeyScope),
        "created": "2026-01-01T00:00:00Z",
        "label": "all",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps({"keys": [key]}))
