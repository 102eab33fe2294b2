"""The pointer and the releases in object storage that speaks S3's protocol; the only module that imports boto3.

Below the prefix lie pointer.json, models/NAME/VERSION/..., bentos/NAME/VERSION/... and, for each of these folders, a
list of its files, folders/..., which is written last: without it a folder counts as missing.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from services.releases.pointer import FILE, Deployed, Pointer, PointerConflictError
from services.targets.release_files import needed_releases, release_folders, require_stored
from tierrec_core.base.artifacts import replacing_folder
from tierrec_core.base.errors import ArtifactError, SettingsError

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError as error:
    raise SettingsError("deploy.target: s3 needs boto3; run `pip install 'tierrec[s3]'`") from error

_MISSING, _CHANGED, _CONFLICT = "NoSuchKey", "PreconditionFailed", "ConditionalRequestConflict"
_TIMEOUTS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"})


class ObjectStorageTarget:
    """A prefix of a bucket. Credentials, region and AWS_ENDPOINT_URL come from the environment."""

    def __init__(self, url: str, store: Path) -> None:
        """url: s3://BUCKET/PREFIX; store: the Bento store that releases are copied from, or to by `fetch`."""
        parts = urlsplit(url)
        self._url, self._store = url, store
        self._bucket, self._prefix = parts.netloc, f"{parts.path.strip('/')}/".lstrip("/")
        self._client: Any = boto3.client("s3", config=_TIMEOUTS)
        self._etag: str | None = None  # of the pointer that was read last

    def read(self) -> Pointer | None:
        """The pointer, None without one. Raises ArtifactError when the storage does not answer."""
        with self._errors("read of the pointer"):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + FILE)
            except ClientError as error:
                if _code(error) != _MISSING:
                    raise
                self._etag = None
                return None
            text = answer["Body"].read()
        self._etag = answer["ETag"]
        return Pointer.from_text(text, f"{self._url}/{FILE}")

    def write(self, pointer: Pointer) -> None:
        """Upload the releases that the storage lacks, then the pointer if it is as it was read."""
        for release in needed_releases(pointer):
            self._upload(release)
        condition = {"IfNoneMatch": "*"} if self._etag is None else {"IfMatch": self._etag}
        with self._errors("change of the pointer"):
            self._put(FILE, pointer.model_dump_json(indent=2).encode(), **condition)

    def status(self) -> str:
        """Where the servers find the releases; storage does not know how far the servers are."""
        return f"{self._url}: servers that run `python -m services.targets.follow` fetch it"

    def fetch(self, release: Deployed) -> None:
        """Download a release to the store, unless it is there; each folder appears when it is complete."""
        for folder in release_folders(release):
            if (self._store / folder).is_dir():
                continue
            with self._errors(f"download of {release.bento}"):
                names = self._file_names(folder)
                if names is None:
                    raise ArtifactError(f"{self._url}/{folder}: is missing or incomplete; deploy {release.bento} again")
                with replacing_folder(self._store / folder) as fresh:
                    for name in names:
                        path = _inside(fresh, name)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        self._client.download_file(self._bucket, f"{self._prefix}{folder}/{name}", str(path))

    def _upload(self, release: Deployed) -> None:
        for folder in release_folders(release):
            with self._errors(f"upload of {release.bento}"):
                if self._file_names(folder) is not None:
                    continue
                require_stored(self._store / folder, release)
                paths = sorted(path for path in (self._store / folder).rglob("*") if path.is_file())
                names = [path.relative_to(self._store / folder).as_posix() for path in paths]
                for path, name in zip(paths, names, strict=True):
                    self._client.upload_file(str(path), self._bucket, f"{self._prefix}{folder}/{name}")
                self._put(f"folders/{folder}.json", json.dumps(names).encode())

    def _file_names(self, folder: str) -> list[str] | None:
        """The files of a folder that was uploaded completely, else None."""
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}folders/{folder}.json")
        except ClientError as error:
            if _code(error) == _MISSING:
                return None
            raise
        return [str(name) for name in json.loads(answer["Body"].read())]

    def _put(self, name: str, body: bytes, **condition: str) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=body, **condition)

    @contextmanager
    def _errors(self, action: str) -> Iterator[None]:
        """Convert the client's errors: a failed condition means that another process was faster."""
        try:
            yield
        except ClientError as error:
            if _code(error) in (_CHANGED, _CONFLICT):
                raise PointerConflictError(
                    f"{self._url}: another process has changed the pointer meanwhile; nothing was done: "
                    "see `tierrec releases`, and repeat the command if it is still wanted"
                ) from error
            raise ArtifactError(
                f"{self._url}: {action} was refused ({error}); check the bucket's permissions"
            ) from error
        except (BotoCoreError, OSError, ValueError, boto3.exceptions.Boto3Error) as error:
            raise ArtifactError(
                f"{self._url}: {action} failed ({type(error).__name__}: {error}); try again after `tierrec releases`"
            ) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _inside(folder: Path, name: str) -> Path:
    """The path of a listed file. Raises ArtifactError for one outside of the folder."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ArtifactError(f"{name}: leads out of its release's folder; deploy the release again")
    return path
