"""What every pod must be: Pod Security "restricted", and this project's own rules beyond it.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from collections.abc import Iterator
from typing import Any, Final

from cdc_sidecar.config.process import Http
from cdc_sidecar.runtime.signals import OVERTIME
from tests.deploy.manifests import Document, Pod

USER: Final = 65532
SERVICE_GRACE: Final = 30
"""Kubernetes' default of terminationGracePeriodSeconds: what a service has if it says nothing."""
_VOLUMES: Final = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "projected",
    "secret",
}
_HOST: Final = ("hostNetwork", "hostPID", "hostIPC")


def security_faults(pod: Pod) -> list[str]:
    """Return what "restricted" forbids, and privileges that a container does not need."""
    faults = [name for name in _HOST if pod.spec.get(name)]
    for volume in pod.spec.get("volumes", []):
        faults += [f"volume {kind}" for kind in volume.keys() - {"name"} - _VOLUMES]
    for container in pod.containers:
        wrong = _container_faults(container, pod.effective(container))
        faults += [f"{container['name']}: {fault}" for fault in wrong]
    return faults


def _container_faults(container: Document, context: dict[str, Any]) -> Iterator[str]:
    wanted = {
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    yield from (name for name, value in wanted.items() if context.get(name) != value)
    if context.get("privileged") or context.get("runAsUser") == 0:
        yield "privileged"
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
        yield "no requests"
    if "memory" not in resources.get("limits", {}):
        yield "no limit of memory"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "hostPort"


def sidecar_faults(pod: Pod, grace: float, http: Http = Http()) -> list[str]:  # noqa: B008 - frozen
    """Return what is wrong with the sidecar in a pod.

    `grace` is its shutdown.grace in seconds, and `http` the section of its configuration.
    """
    sidecar = pod.sidecar
    assert sidecar is not None
    return [*_probe_faults(sidecar, http), *_place_faults(pod, sidecar), *_grace_faults(pod, grace)]


def _probe_faults(sidecar: Document, http: Http) -> Iterator[str]:
    scheme = {"scheme": "HTTPS"} if http.tls_certificate else {}
    wanted = {"path": "/livez", "port": "cdc-metrics", **scheme}
    if sidecar["livenessProbe"]["httpGet"] != wanted:
        yield "liveness is not /livez"
    yield from (name for name in ("readinessProbe", "startupProbe") if name in sidecar)
    if sidecar.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        yield "its last words are not kept"
    if {"name": "cdc-metrics", "containerPort": http.port} not in sidecar["ports"]:
        yield "no port for metrics"


def _place_faults(pod: Pod, sidecar: Document) -> Iterator[str]:
    context = pod.effective(sidecar)
    if (context.get("runAsUser"), context.get("runAsGroup")) != (USER, USER):
        yield "another user"
    if pod.labels.get("cdc-sidecar/scrape") != "true":
        yield "not scraped"
    mounts = {mount["mountPath"]: mount for mount in sidecar["volumeMounts"]}
    if "/tmp" not in mounts:  # noqa: S108 - of the container
        yield "no place for the control socket"
    for path in ("/etc/cdc-sidecar", "/run/cdc-sidecar"):
        if not mounts.get(path, {}).get("readOnly"):
            yield f"{path} is not mounted read-only"
    missing = {mount["name"] for mount in mounts.values()}
    missing -= {volume["name"] for volume in pod.spec["volumes"]}
    yield from (f"no volume {name}" for name in missing)
    yield from _secret_faults(pod)


def _secret_faults(pod: Pod) -> Iterator[str]:
    """Yield a fault if the sidecar's user cannot read the secrets: they belong to root."""
    for volume in pod.spec["volumes"]:
        source = volume.get("secret") or volume.get("projected")
        if source is None:
            continue
        readable = 0o004 if "fsGroup" not in pod.spec.get("securityContext", {}) else 0o040
        if not source.get("defaultMode", 0o644) & readable:
            yield f"volume {volume['name']} is not readable"


def _grace_faults(pod: Pod, grace: float) -> Iterator[str]:
    """Yield a fault if the kubelet kills the sidecar before it ends by itself."""
    needed = grace + OVERTIME + (SERVICE_GRACE if pod.is_native else 0)
    given = pod.spec.get("terminationGracePeriodSeconds", SERVICE_GRACE)
    if given <= needed:
        yield f"killed after {given} s, but may need {needed:g} s"
