"""Stage source: note which files ingest will read, so that DVC notices new, changed and deleted ones."""

from tierrec_core.base import artifacts
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.sources.input_files.manifest import source_manifest


def run(layout: Layout, settings: Settings) -> None:
    """Write the manifest; print its number of files."""
    manifest = source_manifest(settings.source, layout)
    artifacts.write_json(manifest, layout.source_manifest)
    print(f"{len(manifest)} files, {sum(entry['size'] for entry in manifest.values()):,} bytes")
