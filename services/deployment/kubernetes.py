"""Kubernetes manifests rendered from templates, and the Dockerfile that BentoML made for the Bento."""

from collections.abc import Mapping
from typing import Annotated, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import Field, PositiveInt, model_validator

from services.releases.pointer import FILE as POINTER_FILE
from services.releases.pointer import Pointer
from services.shared_files import STATE_VARIABLE, STORE_VARIABLE
from tierrec_core.base.errors import ArtifactError
from tierrec_core.base.paths import Layout
from tierrec_core.settings import Params

_TEMPLATES = ("configmap", "deployment", "hpa", "pdb", "pvc", "service")
_USER = 1034  # the user that BentoML's Dockerfile creates

Name = Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]{0,50}[a-z0-9])?$")]
Image = Annotated[str, Field(max_length=500, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9._/:@]*$")]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|[kMGT]i?)?$")]
Replicas = Annotated[int, Field(ge=2, le=1000)]


class KubernetesSettings(Params):
    """Settings that differ between clusters.

    image: None = the champion's tag, as `bentoml containerize` names it
    secret: has `store-url` (URL of the feedback store) and `keys.json`
    replicas: at least 2, because the disruption budget keeps one running
    cpu, memory: request and limit, in Kubernetes' units; target_cpu: percent of the request
    """

    name: Name = "tierrec"
    namespace: Name = "default"
    image: Image | None = None
    secret: Name = "tierrec"  # noqa: S105 - the name of a Secret
    port: Annotated[int, Field(ge=1024, le=65535)] = 3000
    replicas: Replicas = 2
    max_replicas: Replicas = 10
    target_cpu: Annotated[PositiveInt, Field(le=100)] = 70
    cpu: tuple[Quantity, Quantity] = ("500m", "2")
    memory: tuple[Quantity, Quantity] = ("1Gi", "2Gi")
    storage: Quantity = "5Gi"

    @model_validator(mode="after")
    def _valid_range(self) -> Self:
        if self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas is {self.max_replicas}, less than replicas, which is {self.replicas}")
        return self


def render_manifests(settings: KubernetesSettings, pointer: Pointer) -> Mapping[str, str]:
    """The text of each manifest by its file name; the ConfigMap holds the pointer."""
    environment = Environment(  # noqa: S701 - YAML, not HTML: every text is escaped by tojson
        loader=PackageLoader("services.deployment"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    values = settings.model_dump() | {
        "image": settings.image or pointer.champion.bento,
        "pointer": pointer.model_dump_json(indent=2),
        "pointer_file": POINTER_FILE,
        "state_variable": STATE_VARIABLE,
        "store_variable": STORE_VARIABLE,
        "user": _USER,
    }
    return {f"{name}.yaml": environment.get_template(f"{name}.yaml.j2").render(values) for name in _TEMPLATES}


def dockerfile(layout: Layout, tag: str) -> str:
    """The Dockerfile of a stored Bento, for the build context that `bentoml containerize` makes.

    Raises ArtifactError when the store has no such Bento.
    """
    name, _, version = tag.partition(":")
    path = layout.bento_home / "bentos" / name / version / "env" / "docker" / "Dockerfile"
    try:
        return path.read_text()
    except OSError as error:
        raise ArtifactError(
            f"{path}: cannot be read ({error.strerror}); wanted the Dockerfile of {tag}; see `tierrec releases`"
        ) from error
