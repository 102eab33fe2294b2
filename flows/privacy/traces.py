"""All places of a project that still hold a user, each with what removes it."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.graph.dvc_graph import locked_repo
from flows.privacy.file_scan import FileScanner, FoundUser
from flows.privacy.git_scan import GitObjectTrace, scan_git
from flows.privacy.store_scan import scan_store
from flows.privacy.user_pattern import UserPattern
from flows.project.champion import read_pointer
from flows.project.feedback_store import URL_VARIABLE, open_store
from services.releases.manifest import SmokeReport
from services.shared_files import SHOPS_VARIABLE, serving_folder
from services.tenants.shops import ShopsSettings
from tierrec_core.base.errors import UnreadableFileError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import FilesSource, Settings, Source
from tierrec_core.sources.input_files.patterns import match_files

FORGET, RUN, CLEAN = "tierrec forget USER", "tierrec run", "tierrec forget USER --clean"
DEPLOY = f"{RUN}, tierrec deploy, tierrec promote, then {CLEAN}"
GIT_GC = "git gc --prune=now"
_ORDER = (FORGET, RUN, DEPLOY, CLEAN, GIT_GC)
_MAX_SHOWN = 5
_USER_COLUMNS = {"user_id", "user", "userid"}
_SKIPPED = {".venv", ".git", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@dataclass(frozen=True)
class UserTrace:
    """A place that holds the user.

    name: a path below the project, or what else it is; path: of a file; refs: those that alone keep a git object
    """

    name: str
    found: FoundUser
    remedy: str
    path: Path | None = None
    refs: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScanResult:
    """The traces, and the numbers of files and git objects that were read."""

    user: UserPattern
    traces: tuple[UserTrace, ...]
    num_files: int
    num_objects: int

    @property
    def certain(self) -> list[UserTrace]:
        """The traces that are the user's beyond doubt, or cannot be read."""
        return [trace for trace in self.traces if trace.found.is_certain]

    @property
    def is_known(self) -> bool:
        """Whether the user is anywhere, beyond doubt."""
        return any(trace.found.is_certain and trace.found.is_readable for trace in self.traces)

    def describe(self, max_shown: int | None = None) -> list[str]:
        """Each place and what removes the user from it, or that there is none; and what was compared, and how.

        max_shown: places of each kind; None = all
        """
        num_read = f"{self.num_files:,} files and {self.num_objects:,} git objects"
        if not self.certain:
            return [f"no trace in {num_read}", *self._describe_comparison()]
        lines = [f"the user is in {len(self.certain):,} places of {num_read}; what removes them, in this order:"]
        for remedy in sorted({trace.remedy for trace in self.certain}, key=_position):
            places = [f"  {trace.name}: {trace.found.where}" for trace in self.certain if trace.remedy == remedy]
            more = [f"  and {len(places) - max_shown:,} more"] if max_shown and len(places) > max_shown else []
            lines += [f"{remedy.replace('USER', self.user.user_id)}:", *places[:max_shown], *more]
        return lines + self._describe_comparison()

    def _describe_comparison(self) -> list[str]:
        if self.user.is_distinctive:
            return ["compared: whole words in texts, the bytes in other files, in UTF-8, UTF-16 and usual escapes"]
        lines = [
            f"compared: columns and keys of users ({', '.join(sorted(self.user.columns))}), since so short an id "
            "may be anything elsewhere"
        ]
        names = [trace.name for trace in self.traces if not trace.found.is_certain]
        if names:
            more = f" and {len(names) - _MAX_SHOWN:,} more" if len(names) > _MAX_SHOWN else ""
            lines.append(f"not decided: {', '.join(names[:_MAX_SHOWN])}{more} may hold it as another word or number")
        return lines


def _position(remedy: str) -> tuple[int, str]:
    """Those of the order come first, then those that are a person's."""
    return (_ORDER.index(remedy) if remedy in _ORDER else len(_ORDER), remedy)


def user_pattern(settings: Settings, user_id: str) -> UserPattern:
    """The pattern of a user, by the columns of users that the source names."""
    source, columns = settings.source, set(_USER_COLUMNS)
    if isinstance(source, FilesSource):
        columns |= {name.rpartition(".")[2].lower() for name in (*source.columns.names("user"), source.user_column)}
    return UserPattern(user_id, frozenset(columns))


def find_traces(layout: Layout, settings: Settings, user_id: str) -> ScanResult:
    """Read every file of the project, of its state folder, its source and DVC's cache, git's objects and the store."""
    user = user_pattern(settings, user_id)
    scanner, places = FileScanner(user), _Places.of(layout, settings.source)
    traces, num_files = list[UserTrace](), 0
    for path in places.files():
        num_files += 1
        name = places.name(path)
        found = FoundUser("name of the file") if user.is_distinctive and user.holds(name) else scanner.scan(path)
        if found is not None:
            traces.append(UserTrace(name, found, places.remedy(name), path))
    num_objects, objects = scan_git(layout.root, scanner)
    traces += [
        UserTrace(hit.name, hit.found, _git_remedy(hit), refs=hit.refs if hit.is_ours else ()) for hit in objects
    ]
    if os.environ.get(URL_VARIABLE, "").startswith("postgres"):
        with open_store(layout) as store:
            traces += [UserTrace("feedback store", FoundUser(where), FORGET) for where in scan_store(store, user)]
    return ScanResult(user, tuple(traces), num_files, num_objects)


def _git_remedy(hit: GitObjectTrace) -> str:
    if hit.refs and hit.is_ours:
        return CLEAN
    return GIT_GC if hit.is_ours else "your own commit: take the file out of git's history"


@dataclass(frozen=True)
class _Places:
    """The folders to read, and what each holds. served: folders of the models that serve users"""

    layout: Layout
    folders: tuple[Path, ...]
    sources: frozenset[Path]
    outs: tuple[str, ...]
    cache: Path
    served: frozenset[str]

    @classmethod
    def of(cls, layout: Layout, source: Source) -> "_Places":
        with locked_repo(layout.root) as repo:
            cache = Path(repo.cache.local.path)
            outs = tuple(os.path.relpath(out.fs_path, layout.root) for out in repo.index.outs)
        sources = _source_files(layout, source)
        folders = (layout.root, serving_folder(layout).resolve(), cache)
        outside = [folder for folder in folders if not folder.is_relative_to(layout.root)]
        models = {f".bentoml/models/{model.replace(':', '/')}" for model in models_in_use(layout)}
        return cls(layout, (layout.root, *outside), sources, outs, cache, frozenset(models))

    def files(self) -> Iterator[Path]:
        """All files; a link to a file of the project is read there."""
        for folder in self.folders:
            for parent, names, files in os.walk(folder):
                names[:] = sorted(name for name in names if name not in _SKIPPED)
                for path in (Path(parent, name) for name in sorted(files)):
                    is_elsewhere = path.is_symlink() and not path.resolve().is_relative_to(self.layout.root.resolve())
                    if path.is_file() and (is_elsewhere or not path.is_symlink()):
                        yield path
        yield from sorted(path for path in self.sources if not path.is_relative_to(self.layout.root))

    def name(self, path: Path) -> str:
        """The path as it is shown."""
        return str(path.relative_to(self.layout.root)) if path.is_relative_to(self.layout.root) else str(path)

    def remedy(self, name: str) -> str:
        """What removes the user from a file."""
        path, layout = self.layout.root / name, self.layout
        backups = layout.loop / "retrains"
        if path in self.sources:
            return "your own file: take the rows out of it; until then each run leaves them out"
        if path.is_relative_to(serving_folder(layout)) or path.is_relative_to(serving_folder(layout).resolve()):
            return FORGET if path.name.startswith("feedback.db") else "your own file: take the user out of it"
        if any(path.is_relative_to(folder) for folder in (layout.feedback, layout.deliveries, backups)):
            return FORGET
        if any(name == out or name.startswith(f"{out}/") for out in self.outs) or path.is_relative_to(layout.data_docs):
            return RUN
        if path.is_relative_to(layout.bento_home):
            is_served = any(name.startswith(f"{model}/") for model in self.served)
            return DEPLOY if is_served else CLEAN
        if path.is_relative_to(self.cache) and not self.cache.is_relative_to(layout.root):
            return "dvc gc --workspace --projects OTHER_PROJECTS, since other projects may use this cache"
        pages = (layout.loop / "windows", layout.loop / "evidently", layout.loop / "remote", self.cache)
        return (
            CLEAN if any(path.is_relative_to(folder) for folder in pages) else "delete it, or take the user out of it"
        )


def models_in_use(layout: Layout) -> set[str]:
    """Tags of the models that serve users, or would be served next: champion, challenger and the packaged one."""
    pointers = [read_pointer(layout, folder) for folder in _state_folders(layout)]
    releases = [release for pointer in pointers if pointer for release in (pointer.champion, pointer.challenger)]
    in_use = {release.model for release in releases if release is not None}
    if layout.bento.exists():
        in_use.add(SmokeReport.read(layout.bento).model)
    return in_use


def _state_folders(layout: Layout) -> list[Path]:
    """The state folders of all shops that this project's Bentos may serve."""
    shops = os.environ.get(SHOPS_VARIABLE)
    others = [] if not shops else [shop.folder for shop in ShopsSettings.read(Path(shops)).shops.values()]
    return [serving_folder(layout), *others]


def _source_files(layout: Layout, source: Source) -> frozenset[Path]:
    if not isinstance(source, FilesSource):
        return frozenset()
    files = set[Path]()
    for pattern in (*source.paths, source.items_path, source.users_path):
        if pattern is not None:
            with contextlib.suppress(UnreadableFileError):
                files |= {layout.root / name for name in match_files([pattern], layout.root, "source")}
    return frozenset(files)
