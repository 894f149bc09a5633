"""One function a kind of panel over time; Grafana's Foundation SDK builds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from grafana_foundation_sdk.builders import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    timeseries,
)
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import prometheus as prometheus_model

SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
HEIGHT, WIDTH = 8, 24  # rows of a panel, columns of a dashboard


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and what its series are called: ``{{label}}`` stands for a label's value."""

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class About:
    """What every panel has: a title, what it shows and how to read it, and the unit."""

    title: str
    description: str
    unit: str
    columns: int = 8


class Framable(Protocol):
    """What every panel's builder can be told."""

    def title(self, title: str, /) -> Self: ...
    def description(self, description: str, /) -> Self: ...
    def datasource(self, datasource: model.DataSourceRef, /) -> Self: ...
    def height(self, height: int, /) -> Self: ...
    def span(self, columns: int, /) -> Self: ...


Panel = TypeVar("Panel", bound=Framable)


def framed(panel: Panel, about: About, height: int = HEIGHT) -> Panel:
    """A panel with what every panel has, but for the unit: a heatmap has it elsewhere."""
    panel.title(about.title).description(about.description)
    return panel.datasource(SOURCE).height(height).span(about.columns)


def lines(
    about: About, *queries: Query, stacked: bool = False, log: bool = False
) -> timeseries.Panel:
    """Values over time. ``stacked`` for parts of a whole, ``log`` for factors."""
    mode = kinds.StackingMode.NORMAL if stacked else kinds.StackingMode.NONE
    panel = (
        framed(timeseries.Panel(), about)
        .unit(about.unit)
        .line_width(2 if not stacked else 1)
        .fill_opacity(60 if stacked else 0)
        .show_points(kinds.VisibilityMode.NEVER)
        .span_nulls(False)
        .stacking(common.StackingConfig().mode(mode))
        .legend(legend(["mean", "lastNotNull"]))
        .tooltip(tooltip())
        .scale_distribution(scale(log))
        .color_scheme(palette())
    )
    if not log:
        panel.axis_soft_min(0)
    for name, query in zip("ABCDEFGH", queries, strict=False):
        panel.with_target(target(query, name).range())
    return panel


def number(about: About, query: Query, steps: Sequence[tuple[float, str]] = ()) -> stat.Panel:
    """The latest value. ``steps``: from this value on, this colour."""
    thresholds = [model.Threshold(value=None, color="text")]
    thresholds += [model.Threshold(value=value, color=color) for value, color in steps]
    return (
        framed(stat.Panel(), about, HEIGHT // 2)
        .unit(about.unit)
        .color_mode(kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(thresholds)
        )
        .with_target(target(query, "A").range())
    )


def bars(about: About, query: Query) -> bargauge.Panel:
    """A bar a series, of its latest value."""
    return (
        framed(bargauge.Panel(), about)
        .unit(about.unit)
        .min(0)
        .orientation(kinds.VizOrientation.HORIZONTAL)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_scheme(palette())
        .with_target(target(query, "A").instant())
    )


def distribution(about: About, expression: str) -> heatmap.Panel:
    """How often each bucket of a histogram was hit, over time; the unit is the buckets'."""
    buckets = target(Query(expression, "{{le}}"), "A").range()
    return (
        framed(heatmap.Panel(), about)
        .calculate(False)
        .y_axis(heatmap.YAxisConfig().unit(about.unit))
        .cell_values(heatmap.CellValues().unit("short"))
        .color(
            heatmap.HeatmapColorOptions()
            .mode(heatmap_model.HeatmapColorMode.SCHEME)
            .scheme("Blues")
            .steps(64)
        )
        .with_target(buckets.format(prometheus_model.PromQueryFormat.HEATMAP))
    )


def row(title: str) -> dashboard.Row:
    """A heading; the panels after it are its own."""
    return dashboard.Row(title)


def target(query: Query, name: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expression)
        .legend_format(query.legend)
        .ref_id(name)
        .datasource(SOURCE)
    )


def scale(log: bool) -> common.ScaleDistributionConfig:
    if log:
        return common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LOG).log(2)
    return common.ScaleDistributionConfig().type(kinds.ScaleDistribution.LINEAR)


def legend(calcs: list[str]) -> common.VizLegendOptions:
    shown = common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM)
    mode = kinds.LegendDisplayMode.TABLE if calcs else kinds.LegendDisplayMode.LIST
    return shown.display_mode(mode).calcs(calcs)


def palette() -> dashboard.FieldColor:
    """A colour a series, in their order: none means good or bad."""
    return dashboard.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC)


def tooltip() -> common.VizTooltipOptions:
    order = kinds.SortOrder.DESCENDING
    return common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(order)
