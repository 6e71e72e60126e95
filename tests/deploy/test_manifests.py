"""The committed files: every YAML parses, every pod is restricted, every configuration loads."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from cdc_sidecar.config.load import load_config
from tests.deploy.manifests import (
    DEPLOY,
    KUBERNETES,
    ROOT,
    SIDECAR,
    Document,
    Pod,
    committed_pods,
    documents,
    yaml_files,
)
from tests.deploy.policy import security_faults, sidecar_faults

_PODS = committed_pods()
_SIDECARS = [pod for pod in _PODS if pod.sidecar is not None]
_TOML = sorted(DEPLOY.rglob("*.toml"))
_VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
_GRACE = 25.0
"""shutdown.grace of the component, whose configuration is the team's: the default."""


@pytest.mark.parametrize("path", yaml_files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_file_is_yaml_and_says_what_it_is(path: Path) -> None:
    found = documents(path.read_text("utf-8"))
    assert found
    if KUBERNETES in path.parents:
        assert all({"apiVersion", "kind"} <= each.keys() for each in found)


def test_there_is_a_pod_for_each_way_to_deploy() -> None:
    assert [pod.origin for pod in _SIDECARS] == [
        "kubernetes/component/container/sidecar.yaml Deployment/any",
        "kubernetes/component/sidecar.yaml Deployment/any",
        "kubernetes/standalone/deployment.yaml Deployment/cdc-sidecar",
    ]


@pytest.mark.parametrize("pod", _PODS, ids=lambda pod: pod.origin)
def test_every_pod_is_restricted(pod: Pod) -> None:
    assert security_faults(pod) == []


@pytest.mark.parametrize("pod", _SIDECARS, ids=lambda pod: pod.origin)
def test_the_sidecar_may_end_by_itself_and_is_only_asked_whether_it_lives(pod: Pod) -> None:
    assert sidecar_faults(pod, _GRACE) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"securityContext": {"runAsUser": 0}}, "privileged"),
        ({"securityContext": {"capabilities": {"add": ["NET_RAW"]}}}, "capabilities"),
        ({"securityContext": {"readOnlyRootFilesystem": False}}, "readOnlyRootFilesystem"),
        ({"securityContext": {"allowPrivilegeEscalation": True}}, "allowPrivilegeEscalation"),
        ({"resources": {}}, "no requests"),
        ({"ports": [{"containerPort": 9464, "hostPort": 9464}]}, "hostPort"),
        ({"readinessProbe": {}}, "readinessProbe"),
        ({"volumeMounts": []}, "no place for the control socket"),
        ({"terminationMessagePolicy": "File"}, "last words"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_container_would_be_found(changed: dict[str, Any], named: str) -> None:
    pod = _SIDECARS[0]
    assert pod.sidecar is not None
    context = {**pod.sidecar["securityContext"], **changed.get("securityContext", {})}
    wrong = {**pod.sidecar, **changed, "securityContext": context}
    altered = Pod("altered", pod.labels, {**pod.spec, "containers": [wrong]})
    assert named in " ".join([*security_faults(altered), *sidecar_faults(altered, _GRACE)])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"terminationGracePeriodSeconds": 35}, "killed after 35 s"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "cdc-tmp", "hostPath": {"path": "/"}}]}, "hostPath"),
        ({"volumes": [{"name": "s", "secret": {"defaultMode": 0o400}}]}, "not readable"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_pod_would_be_found(changed: dict[str, Any], named: str) -> None:
    pod = _SIDECARS[0]
    altered = Pod("altered", pod.labels, {**pod.spec, **changed})
    assert named in " ".join([*security_faults(altered), *sidecar_faults(altered, _GRACE)])


def test_the_plain_container_is_the_native_sidecar_without_its_restart_policy() -> None:
    native, plain = (_component(name) for name in ("sidecar.yaml", "container/sidecar.yaml"))
    (sidecar,), (container,) = native.pop("initContainers"), plain.pop("containers")
    assert sidecar.pop("restartPolicy") == "Always"
    assert sidecar == container
    graces = [spec.pop("terminationGracePeriodSeconds") for spec in (native, plain)]
    assert native == plain
    assert graces == [70, 40]


@pytest.mark.parametrize("path", yaml_files(), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_image_has_a_version_and_the_sidecar_has_this_one(path: Path) -> None:
    for image in re.findall(r"^\s*(?:- )?image: (\S+)", path.read_text("utf-8"), re.MULTILINE):
        name, _, tag = image.rpartition(":")
        assert re.match(r"v?\d+\.\d+", tag), image
        if name.endswith(SIDECAR):
            assert tag == _VERSION


@pytest.mark.parametrize("path", _TOML, ids=lambda path: str(path.relative_to(DEPLOY)))
@pytest.mark.usefixtures("secrets_exist")
def test_every_configuration_loads(path: Path) -> None:
    config = load_config(path, environment={})
    assert config.shutdown.grace <= _GRACE


def test_every_secret_of_a_configuration_is_one_that_its_kustomization_mounts() -> None:
    for folder in (KUBERNETES / "example", KUBERNETES / "standalone"):
        named = re.findall(r"/run/cdc-sidecar/([\w.-]+)", (folder / "config.toml").read_text())
        (kustomization,) = documents((folder / "kustomization.yaml").read_text("utf-8"))
        (generator,) = kustomization["secretGenerator"]
        assert {Path(file).name for file in generator["files"]} == set(named)


def test_a_sidecar_in_a_pod_of_a_service_stays_after_a_halt() -> None:
    stays = {
        folder: load_config_text(KUBERNETES / folder / "config.toml")["shutdown"]["on_halt"]
        for folder in ("example", "standalone")
    }
    assert stays == {"example": "stay", "standalone": "exit"}


def load_config_text(path: Path) -> dict[str, Any]:
    """Return the written TOML of a configuration."""
    return tomllib.loads(path.read_text("utf-8"))


def _component(name: str) -> dict[str, Any]:
    found: Document = documents((KUBERNETES / "component" / name).read_text("utf-8"))[0]
    return dict(found["spec"]["template"]["spec"])
