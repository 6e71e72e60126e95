"""What kubectl and helm make of `deploy/`: the texts that a cluster would get, by name."""

import functools
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import yaml

from tests.deploy.manifests import DEPLOY, KUBERNETES, Document, documents
from tests.deploy.tools import HELM, KUBECTL, attempt, output_of

CHART: Final = DEPLOY / "helm" / "cdc-sidecar"
_CONFIG: Final = KUBERNETES / "standalone" / "config.toml"
_BLOCK: Final = re.compile(r"^```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EVERY_VALUE: Final = {
    "config": _CONFIG.read_text("utf-8").replace('grace = "25s"', 'grace = "50s"')
    + '[http]\nlisten = "0.0.0.0:9465"\ntls_certificate = "/run/cdc-sidecar/tls.crt"\n'
    + 'tls_key = "/run/cdc-sidecar/tls.key"\n',
    "nameOverride": "events",
    "image": {
        "repository": "registry.example.com/cdc-sidecar",
        "tag": "0.1.0-1",
        "pullPolicy": "Always",
        "pullSecrets": ["registry"],
    },
    "secrets": [
        {"name": "orders-cdc", "items": {"password": "kafka-password"}},
        {"name": "events-cluster-ca-cert", "items": {"ca.crt": "kafka-ca.crt"}},
        {"name": "orders-cdc-tls"},
    ],
    "environment": {"CDC_SIDECAR__LOG__LEVEL": "debug"},
    "shutdownGrace": 60,
    "port": 9465,
    "standalone": {
        "replicas": 3,
        "podLabels": {"team": "orders"},
        "podAnnotations": {"prometheus.io/scrape": "true"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "spot", "operator": "Exists"}],
        "priorityClassName": "high",
    },
    "networkPolicy": {"from": []},
}
LONG_GRACE: Final = 160
"""Seconds that the service of the components' renderings and its sidecar have to stop."""
_PATIENT: Final = f"""
- op: replace
  path: /spec/template/spec/terminationGracePeriodSeconds
  value: {LONG_GRACE}
"""
_MIGRATED: Final = """
spec:
  template:
    spec:
      initContainers:
        - name: migrate
          image: registry.example.com/orders:1.0.0
          resources: { requests: { cpu: 100m, memory: 128Mi }, limits: { memory: 256Mi } }
          securityContext:
            readOnlyRootFilesystem: true
            allowPrivilegeEscalation: false
            capabilities: { drop: [ALL] }
"""


def _kustomized(folder: str) -> str:
    return output_of(KUBECTL, "kustomize", KUBERNETES / folder)


def _variant(component: str) -> str:
    """Render a slower service with a component, beside a worker that wants none."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "kubernetes"
        shutil.copytree(KUBERNETES, copy)
        example = copy / "example"
        path = example / "kustomization.yaml"
        (kustomization,) = documents(path.read_text("utf-8"))
        (service,) = documents((example / "deployment.yaml").read_text("utf-8"))
        worker = {**service, "metadata": {"name": "worker", "labels": {"cdc-sidecar": "none"}}}
        (example / "worker.yaml").write_text(yaml.safe_dump(worker), encoding="utf-8")
        service = _stateful(service) if "container" in component else _with_migrations(service)
        (example / "deployment.yaml").write_text(yaml.safe_dump(service), encoding="utf-8")
        changed = {
            **kustomization,
            "components": [component],
            "resources": [*kustomization["resources"], "worker.yaml"],
            "patches": [{"patch": _PATIENT, "target": {"kind": service["kind"], "name": "orders"}}],
        }
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return output_of(KUBECTL, "kustomize", example)


def _stateful(service: Document) -> Document:
    """Return a Deployment as a StatefulSet."""
    return {**service, "kind": "StatefulSet", "spec": {**service["spec"], "serviceName": "orders"}}


def _with_migrations(service: Document) -> Document:
    """Return a Deployment with an init container of its own."""
    template = service["spec"]["template"]
    init = documents(_MIGRATED)[0]["spec"]["template"]["spec"]["initContainers"]
    spec = {**template["spec"], "initContainers": init}
    return {**service, "spec": {**service["spec"], "template": {**template, "spec": spec}}}


def _charted(*words: str) -> str:
    return output_of(HELM, "template", "orders", CHART, "--kube-version", "1.36", *words)


def _with_every_value() -> str:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(_EVERY_VALUE, file)
        file.flush()
        return _charted("--values", file.name)


def _included() -> str:
    """Render the service of the chart's README, whose pod has the sidecar."""
    chart, values, deployment = _BLOCK.findall((CHART / "README.md").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        parent = Path(folder) / "orders"
        (parent / "templates").mkdir(parents=True)
        (parent / "Chart.yaml").write_text(chart, encoding="utf-8")
        (parent / "values.yaml").write_text(values, encoding="utf-8")
        (parent / "templates" / "deployment.yaml").write_text(deployment, encoding="utf-8")
        shutil.copytree(CHART, Path(folder) / "cdc-sidecar")
        output_of(HELM, "dependency", "update", "--skip-refresh", parent)
        return output_of(HELM, "template", "orders", parent, "--kube-version", "1.36")


_RENDERINGS: Final[dict[str, Callable[[], str]]] = {
    "component": lambda: _variant("../component"),
    "component/container": lambda: _variant("../component/container"),
    "example": lambda: _kustomized("example"),
    "example/setup": lambda: _kustomized("example/setup"),
    "standalone": lambda: _kustomized("standalone"),
    "strimzi": lambda: _kustomized("strimzi"),
    "helm": lambda: _charted("--set-file", f"config={_CONFIG}"),
    "helm, every value": _with_every_value,
    "helm, included": _included,
}
NAMES: Final = tuple(_RENDERINGS)
WITH_SIDECAR: Final = tuple(each for each in NAMES if each not in ("example/setup", "strimzi"))


@functools.cache
def rendering(name: str) -> str:
    """Return what a cluster would get."""
    return _RENDERINGS[name]()


def objects(name: str, kind: str) -> list[Document]:
    """Return the objects of one kind in a rendering."""
    return [each for each in documents(rendering(name)) if each["kind"] == kind]


def refusal(**values: object) -> str:
    """Return why helm refuses the chart with these values beside a configuration, or ""."""
    given = [] if "config" in values else ["--set-file", f"config={_CONFIG}"]
    words = [f"{name}={json.dumps(value)}" for name, value in values.items()]
    pairs = [word for pair in words for word in ("--set-json", pair)]
    done = attempt(HELM, "template", "orders", CHART, *given, *pairs)
    return done.stderr if done.returncode else ""
