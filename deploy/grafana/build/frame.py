"""A dashboard around its panels: its variables, its place among the others, and its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from deploy.grafana.build.panels import SOURCE

Item = Builder[model.Panel] | dashboard.Row
ALL = model.VariableOption(text="All", value="$__all")


def assemble(
    uid: str,
    title: str,
    description: str,
    variables: Sequence[Builder[model.VariableModel]],
    items: Sequence[Item],
) -> dashboard.Dashboard:
    """Panels fill each row from the left, in order; a row's heading begins a new one."""
    board = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags(["lockstep"])
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .refresh("10s")
        .timezone("browser")
        .link(
            dashboard.DashboardLink("Lockstep")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["lockstep"])
            .keep_time(True)
        )
    )
    for variable in (source_variable(), *variables):
        board.with_variable(variable)
    for item in items:
        if isinstance(item, dashboard.Row):
            board.with_row(item)
        else:
            board.with_panel(item)
    return board


def to_json(board: dashboard.Dashboard) -> str:
    """The dashboard as Grafana reads it, panels numbered; equal dashboards make equal text."""
    built = board.build()
    for number, panel in enumerate(built.panels or [], 1):
        panel.id_val = number
    for variable in built.templating.list_val or []:
        # Grafana knows these of a variable that is an interval alone; the builder sets them on all.
        variable.auto = variable.auto_min = variable.auto_count = None
    return json.dumps(built, cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def source_variable() -> dashboard.DatasourceVariable:
    """Which Prometheus; the provisioned one unless another is chosen."""
    current = model.VariableOption(text="Prometheus", value="prometheus")
    variable = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    return variable.current(current)


def job_variable() -> dashboard.QueryVariable:
    """Which service, by Prometheus's job."""
    return one_of("job", "Job", "label_values(lockstep_build_info, job)", "lockstep")


def models_variable() -> dashboard.QueryVariable:
    """Any number of models; all includes ``other``, a request whose model was never determined."""
    query = 'label_values(lockstep_model_info{job="$job"}, model)'
    variable = one_of("model", "Models", query, "$__all").current(ALL)
    return variable.multi(True).include_all(True).all_value(".*")


def one_of(name: str, label: str, query: str, value: str) -> dashboard.QueryVariable:
    """One of the values that a label has now, ``value`` at first."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .datasource(SOURCE)
        .query(query)
        .current(model.VariableOption(text=value, value=value))
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )


def choice(name: str, label: str, values: Sequence[str], value: str) -> dashboard.CustomVariable:
    """One of ``values``, ``value`` at first, in the order given."""
    options = [model.VariableOption(text=v, value=v, selected=v == value) for v in values]
    variable = dashboard.CustomVariable(name).label(label).values(",".join(values))
    return variable.options(options).current(model.VariableOption(text=value, value=value))
