"""The manifest of a source's files: what each is used as, its size and its hash. `ingest` depends on it."""

from typing import Any

from tierrec_core.base import artifacts
from tierrec_core.base.errors import ArtifactError, DataError, UnreadableFileError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Settings
from tierrec_core.settings.data import FilesSource, Source
from tierrec_core.sources.input_files.deliveries import read_deliveries
from tierrec_core.sources.input_files.patterns import match_files
from tierrec_core.stage_code import write_code_versions

Manifest = dict[str, dict[str, Any]]


def run(layout: Layout, settings: Settings) -> None:
    """Stage source: write the manifest and the versions of the code, so that DVC notices what changed in either."""
    write_code_versions(layout.root)
    manifest = source_manifest(settings.source, layout)
    artifacts.write_json(manifest, layout.source_manifest)
    print(f"{len(manifest)} files, {sum(entry['size'] for entry in manifest.values()):,} bytes")  # noqa: T201


def source_manifest(source: Source, layout: Layout) -> Manifest:
    """An entry for each file, by its path as params.yaml has it, and for the list of forgotten users if there is one.

    Only sources of kind `files` read files. A file is hashed only if its size or a time of change differs from the last
    time; what is known of each is kept in layout.source_hashes. Raises UnreadableFileError for a pattern without a
    file, or a file that cannot be read.
    """
    roles = _roles(source, layout) if isinstance(source, FilesSource) else {}
    if layout.forgotten_list.exists():
        roles[str(layout.forgotten_list.relative_to(layout.root))] = "forgotten users"
    if not roles:
        return {}
    hashes = FileHashes(layout)
    manifest = {name: {"role": role} | hashes.entry(name) for name, role in roles.items()}
    hashes.save()
    return manifest


def is_manifest_current(source: Source, layout: Layout) -> bool:
    """Whether the manifest of the last run describes today's files; False where one of them is missing."""
    try:
        return bool(source_manifest(source, layout) == artifacts.read_json(layout.source_manifest))
    except (ArtifactError, DataError):
        return False


def _roles(source: FilesSource, layout: Layout) -> dict[str, str]:
    """The use of each file: events, items, users, or several of these, or a delivery."""
    roles: dict[str, str] = {}
    for role, key, patterns in (
        ("events", "source.paths", source.paths),
        ("items", "source.items_path", (source.items_path,)),
        ("users", "source.users_path", (source.users_path,)),
    ):
        for name in match_files(
            [pattern for pattern in patterns if pattern is not None], layout.root, f"{key} in params.yaml"
        ):
            roles[name] = f"{roles[name]}, {role}" if name in roles else role
    for number, delivery in enumerate(read_deliveries(layout), 1):
        name = str(delivery.path(layout).relative_to(layout.root))
        roles[name] = f"delivery {number}" + (", in place of earlier rows of its days" if delivery.replaces else "")
    return roles


class FileHashes:
    """SHA-256 of files, with the size and times at which each was computed."""

    def __init__(self, layout: Layout) -> None:
        self._layout, self._used = layout, dict[str, Any]()
        try:
            known = artifacts.read_json(layout.source_hashes)
        except ArtifactError:
            known = None
        self._known = known if isinstance(known, dict) else {}

    def entry(self, name: str) -> dict[str, Any]:
        """Size and hash of a file, named relative to the project. Raises UnreadableFileError."""
        path = self._layout.root / name
        try:
            status = path.stat()
            stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
            known = self._known.get(name, {})
            digest = known["sha256"] if known.get("stamp") == stamp else artifacts.sha256(path)
        except OSError as error:
            raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); correct its permissions") from error
        self._used[name] = {"stamp": stamp, "sha256": digest}
        return {"size": status.st_size, "sha256": digest}

    def save(self) -> None:
        """Keep what was used, if it changed."""
        if self._used != self._known:
            artifacts.write_json(self._used, self._layout.source_hashes)
