"""The status page: `/status` for people, as one table without a script. It reloads itself."""

from html import escape
from typing import Any

from cdc_sidecar.runtime.status import Status

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">
<title>cdc-sidecar {service}</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 46rem; padding: 0 1rem;
       color: #1c2430; }}
h1 {{ font-size: 1.4rem }}
.phase {{ border-radius: .8rem; color: #fff; font-size: .9rem; padding: .2rem .8rem;
         background: {colour} }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ border-bottom: 1px solid #dde3ea; padding: .35rem .5rem; text-align: left;
         vertical-align: top }}
th {{ color: #5a6675; font-weight: 500; width: 14rem }}
pre {{ background: #fdf0ef; padding: 1rem; white-space: pre-wrap }}
</style></head><body>
<h1>cdc-sidecar · {service} <span class="phase">{phase}</span></h1>
{error}<table>{rows}</table>
<p><a href="/status">status</a> · <a href="/metrics">metrics</a> ·
<a href="/subjects">subjects</a></p>
</body></html>
"""


def render_status(status: Status) -> str:
    """Return the page as HTML."""
    body = status.as_json()
    error = f"<pre>{escape(status.error)}</pre>" if status.error else ""
    return _PAGE.format(
        service=escape(status.service),
        phase=escape(status.phase.value),
        colour="#1d7a46" if status.ready else "#b3261e",
        error=error,
        rows="".join(_rows(body, "")),
    )


def _rows(body: dict[str, Any], prefix: str) -> list[str]:
    rows = []
    for name, value in body.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, dict):
            rows += _rows(value, f"{label} ")
        elif name not in ("error", "version"):
            shown = "–" if value is None else ", ".join(value) if isinstance(value, list) else value
            rows.append(f"<tr><th>{escape(label)}</th><td>{escape(str(shown))}</td></tr>")
    return rows
