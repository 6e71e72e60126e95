"""Validates objects by the schemas of several versions of Kubernetes, strictly.

`python -m tests.deploy.schemas`: the input is a JSON object with `versions` and `objects`;
the output is a JSON list of the faults. The package kubernetes-validate must be importable.
"""

import json
import sys
from typing import Any

import kubernetes_validate


def faults(versions: list[str], objects: list[dict[str, Any]]) -> list[str]:
    """Return what is wrong, with the version and the object."""
    found = []
    for version in versions:
        for each in objects:
            name = f"{version} {each['kind']}/{each['metadata']['name']}"
            try:
                kubernetes_validate.validate(each, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                found.append(f"{name}: {error.message}")
    return found


if __name__ == "__main__":
    json.dump(faults(**json.load(sys.stdin)), sys.stdout)
