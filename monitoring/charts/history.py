"""The loop at a glance, as one self-contained page: decisions, gates, and releases, the newest first."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tierrec_core import artifacts

Record = Mapping[str, Any]
_SHOWN_CHECKS = 40


def render(
    decisions: Sequence[Record], gates: Sequence[Record], releases: Sequence[Record], path: Path
) -> None:
    """Write the page. The same records give the same bytes; a link leads to what lies below the page's folder."""
    environment = Environment(
        loader=PackageLoader("monitoring"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("loop.html.j2").render(
        decisions=sorted(decisions, key=lambda one: (one["at"], one["key"]), reverse=True),
        gates=[{**one, "checks": one["checks"][:_SHOWN_CHECKS]} for one in reversed(gates)],
        releases=sorted(releases, key=lambda one: (one["at"], one["tag"]), reverse=True),
    )
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")
