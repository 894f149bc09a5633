// What a dashboard may hold, out of Grafana's own types: scripts/grafana-schema turns it into
// dashboard.schema.json. Grafana's Dashboard takes any options for any panel; here each kind of panel
// that is used has its own, so that a misspelt option is found too.
import * as grafana from "@grafana/schema";
import * as bargauge from "@grafana/schema/dist/esm/raw/composable/bargauge/panelcfg/x/BarGaugePanelCfg_types.gen";
import * as heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import * as stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import * as table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import * as timeseries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import * as xychart from "@grafana/schema/dist/esm/raw/composable/xychart/panelcfg/x/XYChartPanelCfg_types.gen";

// The package has no types of Prometheus's query: these are the fields its editor writes.
interface Query extends grafana.DataQuery {
  expr: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  legendFormat?: string;
  range?: boolean;
}

interface FieldConfig<Custom> extends Omit<grafana.FieldConfig, "custom"> {
  custom?: Custom;
}

interface Panel<Type extends string, Options, Custom>
  extends Omit<grafana.Panel, "type" | "options" | "fieldConfig" | "targets"> {
  type: Type;
  options?: Options;
  fieldConfig?: {
    defaults: FieldConfig<Custom>;
    overrides: grafana.FieldConfigSource["overrides"];
  };
  targets: Query[];
}

export interface Dashboard extends Omit<grafana.Dashboard, "panels"> {
  panels: (
    | grafana.RowPanel
    | Panel<"bargauge", bargauge.Options, {}>
    | Panel<"heatmap", heatmap.Options, heatmap.FieldConfig>
    | Panel<"stat", stat.Options, {}>
    | Panel<"table", table.Options, table.FieldConfig>
    | Panel<"timeseries", timeseries.Options, timeseries.FieldConfig>
    | Panel<"xychart", xychart.Options, xychart.FieldConfig>
  )[];
}
