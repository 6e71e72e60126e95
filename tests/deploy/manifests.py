"""The files of `deploy/`: the documents of a YAML file, and the pods that they describe."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
SIDECAR = "cdc-sidecar"
"""The name of the sidecar's container everywhere."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pod:
    """The specification of a pod, and where it comes from; a component's is a part of one."""

    origin: str
    labels: Mapping[str, str]
    spec: Document

    @property
    def containers(self) -> list[Document]:
        """All containers, those of initialisation first."""
        return [*self.spec.get("initContainers", []), *self.spec.get("containers", [])]

    @property
    def sidecar(self) -> Document | None:
        """The sidecar's container, if the pod has one."""
        return next((each for each in self.containers if each["name"] == SIDECAR), None)

    @property
    def is_native(self) -> bool:
        """Whether the sidecar is an init container that keeps running."""
        return self.sidecar in self.spec.get("initContainers", [])

    def effective(self, container: Document) -> dict[str, Any]:
        """Return the security context of a container, with what it inherits from the pod."""
        return {**self.spec.get("securityContext", {}), **container.get("securityContext", {})}


def documents(text: str) -> list[Document]:
    """Return the documents of a YAML text."""
    return [each for each in yaml.safe_load_all(text) if each is not None]


def yaml_files() -> list[Path]:
    """Return every YAML file, apart from Helm's templates and the alerts."""
    files = [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]
    return sorted(
        path
        for path in files
        if "templates" not in path.parts and DEPLOY / "monitoring" not in path.parents
    )


def pods_in(origin: str, found: list[Document]) -> Iterator[Pod]:
    """Yield the pods of workloads among the documents."""
    for document in found:
        template = document.get("spec", {}).get("template")
        if document.get("kind") in ("Deployment", "StatefulSet", "Job") and template:
            labels = template.get("metadata", {}).get("labels", {})
            name = f"{origin} {document['kind']}/{document['metadata']['name']}"
            yield Pod(name, labels, template["spec"])


def committed_pods() -> list[Pod]:
    """Return the pods in the files of `deploy/kubernetes`, as they are written."""
    return [
        pod
        for path in yaml_files()
        if KUBERNETES in path.parents
        for pod in pods_in(str(path.relative_to(DEPLOY)), documents(path.read_text("utf-8")))
    ]
