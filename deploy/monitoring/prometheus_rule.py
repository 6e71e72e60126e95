"""Writes prometheus-rule.yaml, which is alerts.yaml for the Prometheus Operator.

`python deploy/monitoring/prometheus_rule.py` after a change of alerts.yaml.
"""

import sys
import textwrap
from pathlib import Path

FOLDER = Path(__file__).parent
HEAD = """\
# Made from alerts.yaml by prometheus_rule.py: change that file, and run the script again.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: cdc-sidecar
  labels:
    app.kubernetes.io/name: cdc-sidecar
spec:
"""


def prometheus_rule() -> str:
    """Return the text of the PrometheusRule."""
    rules = (FOLDER / "alerts.yaml").read_text(encoding="utf-8")
    return HEAD + textwrap.indent(rules[rules.index("groups:\n") :], "  ")


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else FOLDER / "prometheus-rule.yaml"
    path.write_text(prometheus_rule(), encoding="utf-8")
