"""Files of events as a shop may give them, and what `init` and `ingest` make of them."""

from pathlib import Path

from tierrec_core.settings import FilesSource, parse
from tierrec_core.sources.files import read_files
from tierrec_core.sources.frames import SourceFrames
from tierrec_core.sources.schema_inference import propose_settings

NUM_ROWS = 400


def shown_and_read(folder: Path, *names: str) -> tuple[int, SourceFrames]:
    """The number of rows that `init` shows for the first file, and the frames that `ingest` reads."""
    proposal = propose_settings([folder / name for name in names], {})
    evidence = next(guess.evidence for guess in proposal.guesses if guess.place == f"file {names[0]}")
    source = parse(FilesSource, proposal.patch["source"], "tests")
    return int(evidence.split()[0]), read_files(source, folder)
