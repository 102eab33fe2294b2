"""Where a log comes from: one module a kind, each returning the same four frames."""

from pathlib import Path

from tierrec_core.settings import CompleteJourneySource, Source, SyntheticSource
from tierrec_core.sources.log import Log

__all__ = ["Log", "read"]


def read(source: Source, root: Path, seed: int) -> Log:
    """Read the source that params.yaml names; only a made world needs the seed.

    Raises DataError when it cannot be read.
    """
    if isinstance(source, CompleteJourneySource):
        from tierrec_core.sources import complete_journey

        return complete_journey.read()
    if isinstance(source, SyntheticSource):
        from tierrec_core.sources import synthetic

        return synthetic.read(source, seed)
    from tierrec_core.sources import files

    return files.read(source, root)
