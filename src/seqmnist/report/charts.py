"""The page's interactive charts, as Vega-Lite specifications made by Vega-Altair."""

from collections.abc import Callable
from typing import Any

import altair as alt

from seqmnist.measure.calibration import shown
from seqmnist.measure.measures import Measured, Measures
from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.report.figures import COLOURS

_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
_CURVES = {
    VALIDATION_ACCURACY: "validation accuracy",
    TEST_ACCURACY: "test accuracy",
    "train.accuracy": "training accuracy",
}

Points = list[dict[str, Any]]


def learning_curves(measured: Measured) -> dict[str, Any]:
    """Return the chart of accuracy by epoch: a line for each cell and seed. A menu selects the kind of accuracy."""

    def points(one: Measures) -> Points:
        return [
            {"epoch": row.epoch, "curve": name, "accuracy": row.metrics[metric]}
            for row in one.rows
            for metric, name in _CURVES.items()
        ]

    menu = alt.binding_select(options=list(_CURVES.values()), name="show ")
    choice = alt.param("curve", value="validation accuracy", bind=menu)
    x = alt.X("epoch:Q", title="epoch, counted from 0", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False))
    tooltip = ["epoch:Q", alt.Tooltip("accuracy:Q", format=".4f")]
    return _spec(_lines(measured, points, x, y, tooltip, choice).transform_filter("datum.curve == curve"))


def gradient_flow(measured: Measured) -> dict[str, Any]:
    """Return the chart of gradient flow at the end of training: spectral norm by number of steps between two states."""

    def points(one: Measures) -> Points:  # a logarithmic axis can't show zero
        return [{"steps": k, "norm": float(norm)} for k, norm in enumerate(one.flow["end"]) if norm > 0]

    x = alt.X("steps:Q", title="steps between the two states", scale=alt.Scale(nice=False))
    y = alt.Y("norm:Q", title="spectral norm of the derivative", scale=alt.Scale(type="log"))
    return _spec(_lines(measured, points, x, y, ["steps:Q", alt.Tooltip("norm:Q", format=".3g")]))


def calibration(measured: Measured) -> dict[str, Any]:
    """Return the calibration chart: share of right answers by predicted probability."""

    def points(one: Measures) -> Points:
        return [{"probability": b.confidence, "right": b.accuracy, "images": b.count} for b in shown(one.bins)]

    diagonal = alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
    ideal = diagonal.mark_line(color="#777777", strokeDash=[2, 2]).encode(x="x:Q", y="y:Q")
    x = alt.X("probability:Q", title="probability of the answer", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("right:Q", title="share of right answers", scale=alt.Scale(domain=[0, 1]))
    tooltip = ["images:Q", alt.Tooltip("right:Q", format=".3f")]
    return _spec(ideal + _lines(measured, points, x, y, tooltip, point_size=40))


def _lines(
    measured: Measured,
    points: Callable[[Measures], Points],
    x: alt.X,
    y: alt.Y,
    tooltip: list[Any],
    *choices: alt.Parameter,
    point_size: int = 25,
) -> alt.Chart:
    """Draw a line for each cell and seed, with a colour and dashes by cell. A click in the legend fades other cells."""
    cells = list(measured)
    values = [
        {"cell": cell, "seed": one.seed, **point}
        for cell, models in measured.items()
        for one in models
        for point in points(one)
    ]
    colours = alt.Scale(domain=cells, range=list(COLOURS[: len(cells)]))
    dashes = alt.Scale(domain=cells, range=[_DASHES[k % len(_DASHES)] for k in range(len(cells))])
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeWidth=2)
    chosen = alt.selection_point(fields=["cell"], bind="legend")
    chart = alt.Chart(alt.InlineData(values=values)).mark_line(point=alt.OverlayMarkDef(size=point_size))
    lines: alt.Chart = chart.encode(
        x=x,
        y=y,
        detail="seed:N",
        tooltip=["cell:N", "seed:N", *tooltip],
        color=alt.Color("cell:N", scale=colours, title="cell", legend=legend),
        strokeDash=alt.StrokeDash("cell:N", scale=dashes, title="cell", legend=legend),
        opacity=alt.condition(chosen, alt.value(1), alt.value(0.15)),
    ).add_params(*choices, chosen)
    return lines


def _spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    sized = chart.properties(width="container", height=320)
    spec: dict[str, Any] = sized.configure_axis(labelFontSize=12, titleFontSize=14).to_dict()
    return spec
