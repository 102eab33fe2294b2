"""The pointer in a ConfigMap of Kubernetes, changed through the API; the only module that imports lightkube."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from services.releases.pointer import FILE, Pointer, PointerConflictError
from services.targets.release_files import copy_release, needed_releases
from tierrec_core.base.errors import ArtifactError, SettingsError
from tierrec_core.settings import KubernetesDeploySettings

try:
    import httpx2
    from lightkube import ApiError, Client
    from lightkube.core.exceptions import ConfigError
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.apps_v1 import Deployment
    from lightkube.resources.core_v1 import ConfigMap
    from lightkube.types import PatchType
except ImportError as error:
    raise SettingsError("deploy.target: kubernetes needs lightkube; run `pip install 'tierrec[kubernetes]'`") from error

T = TypeVar("T")
_NOT_FOUND, _CONFLICT = 404, 409


class KubernetesTarget:
    """The ConfigMap NAME-pointer and the Deployment NAME of a namespace, and the volume with the pods' releases.

    Cluster and credentials are those of the pod's service account, else of KUBECONFIG.
    """

    def __init__(self, settings: KubernetesDeploySettings, store: Path) -> None:
        """store: the Bento store from which releases are copied. Raises SettingsError without a cluster."""
        self._settings, self._store = settings, store
        self._name = f"{settings.name}-pointer"
        self._version: str | None = None  # resourceVersion of the ConfigMap that was read last
        try:
            self._client = Client(namespace=settings.namespace)
        except ConfigError as error:
            raise SettingsError(
                f"deploy.target: no Kubernetes cluster is configured ({error}); run in a pod, or set KUBECONFIG"
            ) from error

    def read(self) -> Pointer | None:
        """The pointer in the ConfigMap, None without one. Raises ArtifactError when the API does not answer."""
        try:
            configmap = self._call("read", lambda: self._client.get(ConfigMap, self._name))
        except _ObjectMissingError:
            self._version = None
            return None
        self._version = configmap.metadata.resourceVersion if configmap.metadata else None
        text = (configmap.data or {}).get(FILE)
        return None if text is None else Pointer.from_text(text, f"ConfigMap {self._name}")

    def write(self, pointer: Pointer) -> None:
        """Copy the releases that the pods lack, then patch the ConfigMap if it is as it was read, else create it."""
        for release in needed_releases(pointer):
            copy_release(self._store, release, Path(self._settings.releases))
        data = {FILE: pointer.model_dump_json(indent=2)}
        metadata = ObjectMeta(name=self._name, namespace=self._settings.namespace, resourceVersion=self._version)
        configmap = ConfigMap(metadata=metadata, data=data)
        if self._version is None:
            self._call("create", lambda: self._client.create(configmap))
        else:
            self._call(
                "patch", lambda: self._client.patch(ConfigMap, self._name, configmap, patch_type=PatchType.MERGE)
            )

    def status(self) -> str:
        """How many pods of the Deployment are ready and of its newest template."""
        name = self._settings.name
        try:
            deployment = self._call("read", lambda: self._client.get(Deployment, name))
        except _ObjectMissingError:
            return f"Deployment {self._settings.namespace}/{name} is missing; apply the files of `tierrec manifests`"
        status, wanted = deployment.status, (deployment.spec.replicas if deployment.spec else None) or 0
        ready, updated = ((getattr(status, key, None) or 0) for key in ("readyReplicas", "updatedReplicas"))
        return f"Deployment {self._settings.namespace}/{name}: {ready} of {wanted} pods ready, {updated} up to date"

    def _call(self, action: str, request: Callable[[], T]) -> T:
        where = f"Kubernetes: {action} of {self._settings.namespace}/{self._name}"
        try:
            return request()
        except ApiError as error:
            if error.status.code == _NOT_FOUND and action == "read":
                raise _ObjectMissingError(where) from error
            if error.status.code == _CONFLICT:
                raise PointerConflictError(
                    f"{where}: another process has changed the pointer meanwhile; nothing was done: "
                    "see `tierrec releases`, and repeat the command if it is still wanted"
                ) from error
            raise ArtifactError(
                f"{where} was refused ({error.status.code}: {error.status.message}); "
                "the Role of deploy/kubernetes/loop has the permissions that it needs"
            ) from error
        except (httpx2.HTTPError, OSError) as error:
            raise ArtifactError(
                f"{where} failed ({type(error).__name__}: {error}); try again after `tierrec releases`"
            ) from (error)


class _ObjectMissingError(ArtifactError):
    """The API has no such object."""
