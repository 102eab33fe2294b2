"""Settings of where releases are deployed."""

from typing import Annotated, Literal

from pydantic import Field

from tierrec_core.base.params import Params

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class LocalDeploySettings(Params):
    """The service runs on this machine, or mounts the state folder and the Bento store."""

    target: Literal["local"] = "local"


class KubernetesDeploySettings(Params):
    """The service runs in a cluster, by the manifests of `tierrec manifests`.

    namespace, name: as given to `tierrec manifests`
    releases: folder in which the pods' state volume is mounted here, to which Bentos and models are copied
    """

    target: Literal["kubernetes"]
    namespace: Label = "default"
    name: Label = "tierrec"
    releases: str = "/var/lib/tierrec"


class ObjectStorageDeploySettings(Params):
    """Servers fetch releases from object storage by `python -m services.targets.follow`.

    url: s3://BUCKET/PREFIX; credentials, region and AWS_ENDPOINT_URL come from the environment
    """

    target: Literal["s3"]
    url: Annotated[str, Field(pattern=r"^s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[\w.-]+)*$")]


DeploySettings = Annotated[
    LocalDeploySettings | KubernetesDeploySettings | ObjectStorageDeploySettings, Field(discriminator="target")
]
