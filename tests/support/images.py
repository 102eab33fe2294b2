"""Reads deploy/Dockerfile: the stages, and what a container of each runs."""

import json
import re

from tests.support.projects import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def stages() -> dict[str, str]:
    """The text of each stage by its name."""
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def start_command(target: str) -> list[str]:
    """ENTRYPOINT and CMD of a target."""
    found = dict(re.findall(r"^(ENTRYPOINT|CMD) (\[.*\])$", stages()[target], flags=re.MULTILINE))
    return [*json.loads(found["ENTRYPOINT"]), *json.loads(found["CMD"])]
