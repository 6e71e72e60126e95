"""The status page: `/status` for people, in words and without a script. It reloads itself."""

from html import escape

from cdc_sidecar.http.status_text import Body, rows, verdict

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
th {{ color: #5a6675; font-weight: 500; width: 7rem }}
pre {{ background: #fdf0ef; padding: 1rem; white-space: pre-wrap }}
</style></head><body>
<h1>cdc-sidecar · {service} <span class="phase">{phase}</span></h1>
<p>{verdict}</p>
{error}<table>{rows}</table>
<p><a href="/status">status</a> · <a href="/metrics">metrics</a> ·
<a href="/subjects">subjects</a></p>
</body></html>
"""


def render_status(body: Body, now: float) -> str:
    """Return the page as HTML."""
    error = f"<pre>{escape(body['error'])}</pre>" if body["error"] else ""
    return _PAGE.format(
        service=escape(body["service"]),
        phase=escape(body["phase"]),
        colour="#1d7a46" if body["ready"] else "#b3261e",
        verdict=escape(verdict(body, now)),
        error=error,
        rows="".join(
            f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>"
            for label, text in rows(body, now)
        ),
    )
