"""Renders the pages' templates and formats their figures."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tierrec_core.base import artifacts

_TINY = 0.00005


def render_template(template: str, filters: Mapping[str, Callable[..., Any]], **values: Any) -> str:
    """Fill in a template with these values, filters, and the filter `figure`."""
    loader = PackageLoader("monitoring.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": format_cell, **filters}
    return environment.get_template(template).render(values).lstrip()


def write_page(text: str, path: Path) -> None:
    """Write a page, atomically. Raises ArtifactError when it cannot be written."""
    with artifacts.replacing_file(path) as file:
        file.write_text(text, encoding="utf-8")


def format_cell(value: Any) -> str:
    """Format a cell: four digits for fractions, thousands separators, a dash for missing."""
    match value:
        case None | "":
            return "–"
        case bool():
            return "yes" if value else "no"
        case float() if value.is_integer():
            return f"{value:,.0f}"
        case float():
            return f"{value:,.4g}" if abs(value) >= 1 else f"{value:.4f}" if abs(value) >= _TINY else f"{value:.1e}"
        case int():
            return f"{value:,}"
    return str(value)
