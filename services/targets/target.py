"""The target that params.yaml names."""

from pathlib import Path
from typing import Protocol

from services.releases.pointer import PointerTarget
from tierrec_core.base.paths import Layout
from tierrec_core.settings import DeploySettings, KubernetesDeploySettings, ObjectStorageDeploySettings


class DeploymentTarget(PointerTarget, Protocol):
    """Servers on other machines: they get the pointer, and the releases that it names before it names them."""

    def status(self) -> str:
        """One line on how far the servers are. Raises ArtifactError when the target does not answer."""
        ...


def find_target(layout: Layout, settings: DeploySettings) -> DeploymentTarget | None:
    """The target; None when the service runs on this machine, whose pointer file is the pointer itself.

    Raises SettingsError when its library is not installed, or when no cluster is configured.
    """
    store: Path = layout.bento_home
    if isinstance(settings, KubernetesDeploySettings):
        from services.targets.kubernetes import KubernetesTarget  # an extra

        return KubernetesTarget(settings, store)
    if isinstance(settings, ObjectStorageDeploySettings):
        from services.targets.object_storage import ObjectStorageTarget  # an extra

        return ObjectStorageTarget(settings.url, store)
    return None
