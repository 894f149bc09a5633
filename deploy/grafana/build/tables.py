"""Panels that read a table instead of series over time: against length, and of labels.

Prometheus answers with a row a series; Grafana's transformations make the columns.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import prometheus, table, xychart
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model
from grafana_foundation_sdk.models import xychart as xychart_model

from deploy.grafana.build.panels import (
    HEIGHT,
    About,
    Query,
    framed,
    legend,
    palette,
    scale,
    target,
    tooltip,
)


def against_length(about: About, expression: str) -> xychart.Panel:
    """One line a network against length, both on logarithmic axes, over the whole time range.

    ``expression`` has the labels of ``queries.per_length``.
    """
    panel = (
        framed(xychart.Panel(), about, HEIGHT + 2)
        .unit(about.unit)
        .show(xychart_model.XYShowMode.POINTS_AND_LINES)
        .point_size(xychart.XychartFieldConfigPointSize().fixed(6))
        .line_width(2)
        .scale_distribution(scale(log=True))
        .color_scheme(palette())
        .mapping(xychart_model.SeriesMapping.AUTO)
        .series([])
        .legend(legend([]))
        .tooltip(tooltip())
        .with_target(_table_target(expression))
        .override_by_name(
            "tokens",
            [
                model.DynamicConfigValue(id_val="unit", value="none"),
                model.DynamicConfigValue(id_val="custom.axisLabel", value="tokens, up to"),
                model.DynamicConfigValue(
                    id_val="custom.scaleDistribution", value={"type": "log", "log": 2}
                ),
            ],
        )
    )
    for step in _network_columns():
        panel.with_transformation(step)
    return panel


def table_by_length(about: About, expression: str) -> table.Panel:
    """The same as figures: a row a length, a column a network."""
    panel = (
        framed(table.Panel(), about, HEIGHT + 2)
        .unit(about.unit)
        .decimals(0)
        .with_target(_table_target(expression))
    )
    for step in _network_columns():
        panel.with_transformation(step)
    return panel


def labels_table(about: About, expression: str, hidden: Sequence[str]) -> table.Panel:
    """The labels of a series that is always 1, a row each, without the ``hidden`` ones."""
    options = {"excludeByName": dict.fromkeys(["Time", "Value", "__name__", *hidden], True)}
    return (
        framed(table.Panel(), about)
        .unit(about.unit)
        .with_target(_table_target(expression))
        .with_transformation(model.DataTransformerConfig(id_val="organize", options=options))
    )


def _table_target(expression: str) -> prometheus.Dataquery:
    rows = target(Query(expression, "__auto"), "A").instant()
    return rows.format(prometheus_model.PromQueryFormat.TABLE)


def _network_columns() -> list[model.DataTransformerConfig]:
    """From a row a series to a row a length and a column a network."""
    matrix = "tokens\\network"  # what Grafana calls the column of the lengths
    conversions = [{"targetField": "tokens", "destinationType": "number"}]
    grouping = {
        "rowField": "tokens",
        "columnField": "network",
        "valueField": "Value",
        "emptyValue": "null",
    }
    steps: list[tuple[str, object]] = [
        ("convertFieldType", {"fields": {}, "conversions": conversions}),
        ("groupingToMatrix", grouping),
        ("sortBy", {"fields": {}, "sort": [{"field": matrix}]}),
        ("organize", {"renameByName": {matrix: "tokens"}}),
    ]
    return [model.DataTransformerConfig(id_val=name, options=options) for name, options in steps]
