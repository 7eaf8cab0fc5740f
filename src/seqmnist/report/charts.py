"""The page's interactive charts, as Vega-Lite specifications made by Vega-Altair."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from seqmnist.measure.calibration import shown
from seqmnist.measure.measures import Measured
from seqmnist.metric_names import TEST_ACCURACY, VALIDATION_ACCURACY
from seqmnist.report.figures import COLOURS

if TYPE_CHECKING:
    import altair as alt

_DASHES = ([1, 0], [6, 3], [2, 2], [8, 3, 2, 3])
_CURVES = {
    VALIDATION_ACCURACY: "validation accuracy",
    TEST_ACCURACY: "test accuracy",
    "train.accuracy": "training accuracy",
}


def learning_curves(measured: Measured) -> dict[str, Any]:
    """Accuracy by epoch: a line for each cell and seed, the kind of accuracy by choice."""
    import altair as alt

    values = [
        {"cell": cell, "seed": one.seed, "epoch": row.epoch, "curve": name, "accuracy": row.metrics[metric]}
        for cell, models in measured.items()
        for one in models
        for row in one.rows
        for metric, name in _CURVES.items()
    ]
    choice = alt.param(
        "curve", value="validation accuracy", bind=alt.binding_select(options=list(_CURVES.values()), name="show ")
    )
    x = alt.X("epoch:Q", title="epoch, counted from 0", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y("accuracy:Q", title="accuracy", scale=alt.Scale(zero=False))
    tooltip = ["epoch:Q", alt.Tooltip("accuracy:Q", format=".4f")]
    return _spec(_lines(measured, values, x, y, tooltip, choice).transform_filter("datum.curve == curve"))


def gradient_flow(measured: Measured) -> dict[str, Any]:
    """The spectral norm by the number of steps between, at the end of training."""
    import altair as alt

    values = [
        {"cell": cell, "seed": one.seed, "steps": k, "norm": float(norm)}
        for cell, models in measured.items()
        for one in models
        for k, norm in enumerate(one.flow["end"])
        if norm > 0  # the axis is logarithmic
    ]
    x = alt.X("steps:Q", title="steps between the two states", scale=alt.Scale(nice=False))
    y = alt.Y("norm:Q", title="spectral norm of the derivative", scale=alt.Scale(type="log"))
    return _spec(_lines(measured, values, x, y, ["steps:Q", alt.Tooltip("norm:Q", format=".3g")]))


def calibration(measured: Measured) -> dict[str, Any]:
    """The share right by the probability that the model gave its answer."""
    import altair as alt

    values = [
        {"cell": cell, "seed": one.seed, "probability": bin_.confidence, "right": bin_.accuracy, "images": bin_.count}
        for cell, models in measured.items()
        for one in models
        for bin_ in shown(one.bins)
    ]
    ideal = alt.Chart(alt.InlineData(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}])).mark_line(
        color="#777777", strokeDash=[2, 2]
    )
    x = alt.X("probability:Q", title="probability of the answer", scale=alt.Scale(domain=[0, 1]))
    y = alt.Y("right:Q", title="share of right answers", scale=alt.Scale(domain=[0, 1]))
    tooltip = ["images:Q", alt.Tooltip("right:Q", format=".3f")]
    return _spec(ideal.encode(x="x:Q", y="y:Q") + _lines(measured, values, x, y, tooltip, point_size=40))


def _lines(
    measured: Measured,
    values: list[dict[str, Any]],
    x: "alt.X",
    y: "alt.Y",
    tooltip: Sequence[Any],
    *choices: "alt.Parameter",
    point_size: int = 25,
) -> "alt.Chart":
    """A line for each cell and seed; a click on a cell in the legend fades the others.

    Cells are told apart by colour, and by dashes without it.
    """
    import altair as alt

    cells = list(measured)
    colours = alt.Scale(domain=cells, range=list(COLOURS[: len(cells)]))
    dashes = alt.Scale(domain=cells, range=[_DASHES[k % len(_DASHES)] for k in range(len(cells))])
    legend = alt.Legend(symbolType="stroke", symbolSize=400, symbolStrokeWidth=2)
    chosen = alt.selection_point(fields=["cell"], bind="legend")
    chart: alt.Chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_line(point=alt.OverlayMarkDef(size=point_size))
        .encode(
            x=x,
            y=y,
            detail="seed:N",
            tooltip=["cell:N", "seed:N", *tooltip],
            color=alt.Color("cell:N", scale=colours, title="cell", legend=legend),
            strokeDash=alt.StrokeDash("cell:N", scale=dashes, title="cell", legend=legend),
            opacity=alt.condition(chosen, alt.value(1), alt.value(0.15)),
        )
        .add_params(*choices, chosen)
    )
    return chart


def _spec(chart: "alt.TopLevelMixin") -> dict[str, Any]:
    sized = chart.properties(width="container", height=320)
    spec: dict[str, Any] = sized.configure_axis(labelFontSize=12, titleFontSize=14).to_dict()
    return spec
