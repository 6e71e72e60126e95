"""Writes dashboard.json, the Grafana dashboard of the sidecars.

`python deploy/monitoring/dashboard.py` after a change of this file or of panels.py. Grafana 11 or
newer imports the result; it asks for the data source, and shows one service at a time.
"""

import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from panels import ROWS, Chart, Verdict

FOLDER: Final = Path(__file__).parent
_SOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")
_RESTARTS: Final = 'time() - process_start_time_seconds{service="$service"} < 60'
_COLUMNS: Final = 24
"""Of Grafana's grid."""
_COLOURS: Final = ("green", "orange", "red")


def build() -> str:
    """Return the JSON of the dashboard."""
    board = (
        dashboard.Dashboard("cdc-sidecar")
        .uid("cdc-sidecar")
        .description("Made by deploy/monitoring/dashboard.py")
        .tags(["cdc-sidecar", "postgres", "kafka"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
        )
        .with_variable(_service())
        .annotation(_restarts())
    )
    for title, panels in ROWS.items():
        board = board.with_row(dashboard.Row(title))
        width = _COLUMNS // min(len(panels), 3 if isinstance(panels[0], Chart) else len(panels))
        for panel in panels:
            board = board.with_panel(
                _chart(panel, width) if isinstance(panel, Chart) else _verdict(panel, width)
            )
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _service() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("service")
        .label("Service")
        .datasource(_SOURCE)
        .query("label_values(cdc_sidecar_info, service)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _restarts() -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name("Restarts")
        .datasource(_SOURCE)
        .enable(True)  # noqa: FBT003 - the library's interface
        .icon_color("purple")
        .expr(_RESTARTS)
    )


def _query(expression: str, legend: str, number: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .datasource(_SOURCE)
        .expr(expression)
        .legend_format(legend)
        .ref_id(chr(ord("A") + number))
    )


def _chart(panel: Chart, width: int) -> timeseries.Panel:
    """Return a panel with lines over time."""
    made = (
        timeseries.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(8)
        .span(width)
        .fill_opacity(8)
        .show_points(kinds.VisibilityMode.NEVER)
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI))
    )
    for number, (legend, expression) in enumerate(panel.lines.items()):
        made = made.with_target(_query(expression, legend, number))
    return made if panel.least is None else made.min(panel.least)


def _verdict(panel: Verdict, width: int) -> stat.Panel:
    """Return a panel with one figure, whose colour is a verdict."""
    steps = [
        Threshold(value=value, color=colour)
        for value, colour in zip((None, *panel.limits), panel.colours(_COLOURS), strict=True)
    ]
    limits = dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        stat.Panel()
        .title(panel.title)
        .description(panel.description)
        .datasource(_SOURCE)
        .unit(panel.unit)
        .height(4)
        .span(width)
        .thresholds(limits)
        .color_mode(kinds.BigValueColorMode.BACKGROUND)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(kinds.BigValueGraphMode.NONE)
        .with_target(_query(panel.expression, panel.legend, 0))
    )


if __name__ == "__main__":
    path = Path(sys.argv[1]) if sys.argv[1:] else FOLDER / "dashboard.json"
    path.write_text(build(), encoding="utf-8")
