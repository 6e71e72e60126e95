"""What kubectl and helm render is valid in Kubernetes 1.29 to 1.37, restricted, and consistent."""

import json
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cdc_sidecar.config.load import load_config
from tests.deploy.manifests import ROOT, SIDECAR, Document, Pod, documents, pods_in
from tests.deploy.policy import security_faults, sidecar_faults
from tests.deploy.rendered import (
    CHART,
    LONG_GRACE,
    NAMES,
    WITH_SIDECAR,
    objects,
    refusal,
    rendering,
)
from tests.deploy.tools import HADOLINT, HELM, KUBECTL, POD_SECURITY, attempt, needs, output_of

pytestmark = needs(KUBECTL, HELM)

_VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
_CUSTOM = ("KafkaUser", "KafkaTopic")
"""Kinds whose schemas belong to Strimzi; the objects are tried on a real broker instead."""
_LISTENING = '[service]\n[postgres]\n[http]\nlisten = "0.0.0.0:9465"\n'
with_sidecar = pytest.mark.parametrize("name", WITH_SIDECAR)


def _schema_faults(found: list[Document], versions: list[str] = _VERSIONS) -> list[str]:
    given = json.dumps({"versions": versions, "objects": found})
    done = attempt(sys.executable, "-m", "tests.deploy.schemas", given=given)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def _pods(name: str) -> list[Pod]:
    return list(pods_in(name, documents(rendering(name))))


def _sidecars(name: str) -> list[Pod]:
    return [pod for pod in _pods(name) if pod.sidecar is not None]


@needs(HADOLINT)
@pytest.mark.parametrize("name", NAMES)
def test_every_supported_kubernetes_accepts_the_objects(name: str) -> None:
    found = [each for each in documents(rendering(name)) if each["kind"] not in _CUSTOM]
    assert found or name == "strimzi"
    assert _schema_faults(found) == []


@needs(HADOLINT)
def test_the_schemas_refuse_unknown_fields_and_sidecars_before_there_were_any() -> None:
    (deployment,) = objects("standalone", "Deployment")
    unknown = {**deployment, "spec": {**deployment["spec"], "replica": 2}}
    assert "replica" in _schema_faults([unknown])[0]
    natives = objects("example", "Deployment")
    assert "restartPolicy" in _schema_faults(natives, ["1.27"])[0]
    assert _schema_faults(objects("component/container", "StatefulSet"), ["1.27"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_rendered_pod_is_restricted(name: str) -> None:
    assert [security_faults(pod) for pod in _pods(name)] == [[] for _ in _pods(name)]


@needs(POD_SECURITY)
def test_kubernetes_own_admission_agrees_and_refuses_what_is_not_restricted() -> None:
    pods = [pod for name in NAMES for pod in _pods(name)]
    assert _refused(pods) == []
    loose = Pod("loose", {}, {"containers": [{"name": "loose", "image": "loose"}]})
    (line,) = _refused([loose])
    assert "allowPrivilegeEscalation" in line


def _refused(pods: list[Pod]) -> list[str]:
    given = [{"name": pod.origin, "metadata": {}, "spec": pod.spec} for pod in pods]
    done = attempt(POD_SECURITY, given=json.dumps(given))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@with_sidecar
@pytest.mark.usefixtures("secrets_exist")
def test_the_rendered_sidecar_loads_its_configuration_and_may_end_by_itself(
    name: str, tmp_path: Path
) -> None:
    (pod,) = _sidecars(name)
    assert pod.sidecar is not None
    volume = _volume(pod, "cdc-config")["configMap"]["name"]
    (text,) = (
        each["data"]["config.toml"]
        for each in objects(name, "ConfigMap")
        if each["metadata"]["name"] == volume
    )
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    variables = {each["name"]: each["value"] for each in pod.sidecar.get("env", [])}
    config = load_config(tmp_path / "config.toml", variables)
    assert sidecar_faults(pod, config.shutdown.grace, config.http) == []
    shares = {each["name"] for each in pod.containers} != {SIDECAR}
    assert config.shutdown.on_halt == ("stay" if shares else "exit")


def _volume(pod: Pod, name: str) -> Mapping[str, Any]:
    (volume,) = (each for each in pod.spec["volumes"] if each["name"] == name)
    return dict(volume)


@pytest.mark.parametrize("name", ["component", "example", "helm, included"])
def test_a_native_sidecar_starts_after_the_migrations(name: str) -> None:
    (pod,) = _sidecars(name)
    names = [each["name"] for each in pod.spec["initContainers"]]
    assert names == (["migrate", SIDECAR] if name == "component" else [SIDECAR])
    assert pod.is_native
    assert pod.spec["initContainers"][-1]["restartPolicy"] == "Always"


def test_helm_and_kustomize_make_the_same_container() -> None:
    for with_kustomize, with_helm in (("example", "helm, included"), ("standalone", "helm")):
        made = [dict(_sidecars(name)[0].sidecar or {}) for name in (with_kustomize, with_helm)]
        for container in made:
            container.pop("image")
            container.pop("imagePullPolicy", None)
            container["securityContext"] = _sidecars(with_kustomize)[0].effective(container)
        assert made[0] == made[1]


@pytest.mark.parametrize("name", ["component", "component/container"])
def test_a_slow_service_keeps_the_time_that_it_needs_to_stop(name: str) -> None:
    (pod,) = _sidecars(name)
    assert pod.spec["terminationGracePeriodSeconds"] == LONG_GRACE


def test_a_plain_container_is_no_init_container() -> None:
    (pod,) = _sidecars("component/container")
    assert {each["name"] for each in pod.spec["containers"]} == {"orders", SIDECAR}
    assert "initContainers" not in pod.spec


@pytest.mark.parametrize("name", ["component", "component/container"])
def test_a_deployment_that_wants_no_sidecar_gets_none(name: str) -> None:
    (worker,) = (pod for pod in _pods(name) if pod.origin.endswith("/worker"))
    assert [each["name"] for each in worker.containers if each["name"] == SIDECAR] == []
    assert "volumes" not in worker.spec


@with_sidecar
def test_selectors_find_the_pods_and_nothing_is_named_that_is_missing(name: str) -> None:
    labels = [pod.labels for pod in _sidecars(name)]
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
        for each in objects(name, kind):
            spec = each["spec"]
            selector = spec.get("podSelector") or spec["selector"]
            wanted = selector.get("matchLabels", selector)
            assert any(wanted.items() <= given.items() for given in labels), each
    kinds = {each["kind"] for each in documents(rendering(name))}
    alone = {"Service", "PodDisruptionBudget"}
    assert (alone <= kinds) == (name in ("standalone", "helm", "helm, every value"))


@pytest.mark.parametrize("name", ["example", "standalone", "helm"])
def test_only_prometheus_and_readers_of_schemas_may_ask_a_sidecar(name: str) -> None:
    (policy,) = objects(name, "NetworkPolicy")
    (rule,) = (each for each in policy["spec"]["ingress"] if each["ports"] == [{"port": 9464}])
    assert [each["namespaceSelector"]["matchLabels"] for each in rule["from"]] == [
        {"kubernetes.io/metadata.name": "monitoring"},
        {"cdc-sidecar/reads-schemas": "true"},
    ]


@pytest.mark.parametrize("name", ["component", "component/container", "example", "standalone"])
def test_generated_names_are_hashed_so_that_a_change_is_a_rollout(name: str) -> None:
    (pod,) = _sidecars(name)
    made = {
        each["metadata"]["name"] for kind in ("ConfigMap", "Secret") for each in objects(name, kind)
    }
    volumes = _volume(pod, "cdc-config"), _volume(pod, "cdc-secrets")
    named = {volumes[0]["configMap"]["name"], volumes[1]["secret"]["secretName"]}
    assert named <= made
    assert all(len(each.rpartition("-")[2]) == 10 for each in named)


def test_a_change_of_the_configuration_in_helm_is_a_rollout() -> None:
    hashes = {
        objects(name, "Deployment")[0]["spec"]["template"]["metadata"]["annotations"][
            "cdc-sidecar/config"
        ]
        for name in ("helm", "helm, every value", "helm, included")
    }
    assert len(hashes) == 3


def test_helm_finds_nothing_wrong_with_the_chart() -> None:
    config = f"config={ROOT / 'deploy/kubernetes/standalone/config.toml'}"
    assert "0 chart(s) failed" in output_of(HELM, "lint", "--strict", CHART, "--set-file", config)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    (chart,) = documents((CHART / "Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == version


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"config": ""}, "/config"),
        ({"image.tag": "latest"}, "/image/tag"),
        ({"shutdownGrace": "25s"}, "/shutdownGrace"),
        ({"shutdownGrace": 20}, "killed before the sidecar has ended"),
        ({"secrets": ["cdc-sidecar-secrets"]}, "/secrets/0"),
        ({"environment": {"password": "x"}}, "password"),
        ({"standalone.replicas": 0}, "/standalone/replicas"),
        ({"replicas": 2}, "replicas"),
        ({"resources.limit": {}}, "limit"),
        ({"port": 0}, "/port"),
        ({"config": _LISTENING, "port": 9464}, "9465"),
    ],
    ids=str,
)
def test_helm_refuses_wrong_values(values: dict[str, object], named: str) -> None:
    assert named in refusal(**values)


@needs(HADOLINT)
def test_hadolint_finds_no_error_in_the_dockerfile() -> None:
    output_of(HADOLINT, "--failure-threshold", "error", ROOT / "Dockerfile")
