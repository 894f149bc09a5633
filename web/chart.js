// The gap as it grows: mean forward against length, a line a model, from /v1/gap.

/* global uPlot */
import { axes, middleOf, scales } from "./axes.js";
import { count, element, hue, ms } from "./state.js";

const HEIGHT = 380;
const HINT = "Point at the chart to read its values, or move through it with the arrow keys.";

export class Chart {
  #contenders = [];
  #gap = null;
  #plot = null;
  #hidden = new Set();
  #lengths = [];
  #reading = null; // the range whose values are read out, which outlives a plot
  #ready = false;
  #chosen = false;

  constructor(parts) {
    this.parts = parts;
    parts.baseline.addEventListener("change", () => (this.#chosen = true));
    for (const control of [parts.baseline, parts.batch, ...parts.units]) {
      control.addEventListener("change", () => this.onchange());
    }
    parts.root.addEventListener("keydown", (event) => this.#key(event));
    parts.root.addEventListener("blur", () => this.#read(null));
    new ResizeObserver(() => this.#plot?.setSize({ width: this.#width(), height: HEIGHT })).observe(parts.root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** Called when the reader wants another baseline, batch or unit. */
  onchange = () => this.draw();

  /** The reader's; none while there was no choice, and the service's own stands. */
  get baseline() {
    return this.#chosen ? this.parts.baseline.value : null;
  }

  build(contenders) {
    this.#contenders = contenders;
    const names = [...new Set(contenders.map((contender) => contender.model))];
    const before = this.parts.baseline.value;
    this.parts.baseline.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
    this.#chosen &&= names.includes(before);
    if (this.#chosen) this.parts.baseline.value = before;
    this.parts.legend.replaceChildren(...contenders.map((contender) => this.#entry(contender)));
  }

  /** A reply of /v1/gap. */
  show(gap) {
    if (this.#chosen && gap.baseline !== this.baseline) return; // asked for before the choice
    const same = JSON.stringify(gap.forwards) === JSON.stringify(this.#gap?.forwards) && gap.baseline === this.#gap?.baseline;
    this.#gap = gap;
    if (same) return;
    this.parts.baseline.value = gap.baseline;
    this.draw();
  }

  draw() {
    const gap = this.#gap;
    if (!gap) return;
    this.#batches(gap.forwards);
    const forwards = gap.forwards.filter((one) => one.batch_bucket === this.parts.batch.value);
    this.#lengths = [...new Set(forwards.map((one) => one.length_bucket))];
    this.parts.root.dataset.points = forwards.length;
    this.parts.empty.hidden = forwards.length > 0;
    this.cells = new Map(forwards.map((one) => [`${one.model} ${one.schedule} ${one.length_bucket}`, one]));
    this.#table();
    this.#plot?.destroy();
    this.#plot = null;
    this.parts.root.replaceChildren();
    this.#ready = false;
    if (forwards.length) {
      this.#plot = new uPlot(this.#options(), this.#data(), this.parts.root);
      this.#plot.ctx.canvas.setAttribute("aria-hidden", true); // the table and the readout say it
    }
    this.parts.readout.hidden = !forwards.length;
    if (!this.#lengths.includes(this.#reading)) this.#read(null);
  }

  cell(contender, length) {
    return this.cells.get(`${contender.model} ${contender.schedule} ${length}`);
  }

  get #ratio() {
    return this.parts.units.find((unit) => unit.checked).value === "ratio";
  }

  #value(cell) {
    return (this.#ratio ? cell?.ratio : cell?.mean_ms) ?? null;
  }

  #batches(forwards) {
    const found = [...new Set(forwards.map((one) => one.batch_bucket))].sort((a, b) => middleOf(a) - middleOf(b));
    const { batch } = this.parts;
    const before = batch.value || "1";
    const options = found.length ? found : ["1"];
    if (options.join() !== [...batch.options].map((option) => option.value).join()) {
      const named = (bucket) => (bucket === "1" ? "1 text" : `${bucket} texts`);
      batch.replaceChildren(...options.map((bucket) => element("option", { value: bucket }, named(bucket))));
      batch.value = options.includes(before) ? before : options[0];
    }
  }

  #data() {
    return [
      this.#lengths.map(middleOf),
      ...this.#contenders.map((contender) => this.#lengths.map((length) => this.#value(this.cell(contender, length)))),
    ];
  }

  #width() {
    return Math.max(280, this.parts.root.clientWidth);
  }

  #options() {
    const narrow = this.#width() < this.#lengths.length * 80;
    const unit = this.#ratio ? `forward, over that of ${this.#gap.baseline}` : "mean forward, milliseconds";
    return {
      width: this.#width(),
      height: HEIGHT,
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 9 }, y: false },
      scales,
      series: [
        {},
        ...this.#contenders.map((contender) => ({
          label: contender.id,
          show: !this.#hidden.has(contender.id),
          stroke: hue(contender.tint),
          width: 2,
          dash: contender.walks ? [7, 4] : undefined,
          spanGaps: true,
          points: { show: true, size: 7, fill: hue(contender.tint) },
        })),
      ],
      axes: axes({ lengths: this.#lengths, narrow, unit, sign: this.#ratio ? "×" : "" }),
      hooks: {
        ready: [() => this.#resume()],
        setCursor: [(plot) => this.#ready && this.#read(plot.cursor.idx)],
      },
    };
  }

  #key(event) {
    if (event.target !== this.parts.root || !this.#plot) return;
    const last = this.#lengths.length - 1;
    const at = this.#plot.cursor.idx;
    const moves = { ArrowRight: at === null || at === undefined ? 0 : Math.min(at + 1, last), ArrowLeft: Math.max((at ?? last + 1) - 1, 0), Home: 0, End: last };
    if (event.key === "Escape") return this.#read(null);
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.#point(moves[event.key]);
  }

  /** A new plot goes on where the reader was. */
  #resume() {
    this.#ready = true;
    if (this.#reading) this.#point(this.#lengths.indexOf(this.#reading));
  }

  #point(at) {
    const left = this.#plot.valToPos(middleOf(this.#lengths[at]), "x");
    this.#plot.setCursor({ left, top: 10 });
  }

  /** The values at one range of lengths, largest first. */
  #read(at) {
    const { readout } = this.parts;
    const length = at === null || at === undefined ? null : this.#lengths[at];
    this.#reading = length;
    if (!length) return readout.replaceChildren(HINT);
    const seen = this.#contenders
      .filter((contender) => !this.#hidden.has(contender.id) && this.cell(contender, length))
      .map((contender) => [contender, this.cell(contender, length)])
      .sort((a, b) => b[1].mean_ms - a[1].mean_ms);
    readout.replaceChildren(
      element("strong", {}, `${length} tokens`),
      ...seen.map(([contender, cell]) => element("span", {}, swatch(contender), `${contender.id} `, element("b", {}, figures(cell)))),
    );
  }

  #entry(contender) {
    const button = element("button", { type: "button", "aria-pressed": !this.#hidden.has(contender.id) }, swatch(contender), contender.id);
    button.addEventListener("click", () => {
      const shown = this.#hidden.delete(contender.id);
      if (!shown) this.#hidden.add(contender.id);
      button.setAttribute("aria-pressed", shown);
      const series = this.#contenders.indexOf(contender) + 1;
      this.#plot?.setSeries(series, { show: shown });
    });
    return element("li", {}, button);
  }

  #table() {
    const head = element("tr", {}, element("th", { scope: "col" }, "model"));
    head.append(...this.#lengths.map((length) => element("th", { scope: "col" }, length)));
    const rows = this.#contenders.map((contender) => {
      const row = element("tr", {}, element("th", { scope: "row" }, contender.id));
      row.append(
        ...this.#lengths.map((length) => {
          const cell = this.cell(contender, length);
          const title = cell && `mean of ${count(cell.count)}`;
          return element("td", { title }, cell ? figures(cell) : "–");
        }),
      );
      return row;
    });
    this.parts.table.replaceChildren(
      element("caption", {}, `Mean forward in milliseconds, and its ratio to ${this.#gap.baseline}; columns are tokens`),
      element("thead", {}, head),
      element("tbody", {}, ...rows),
    );
  }
}

function figures(cell) {
  return cell.ratio === null ? `${ms(cell.mean_ms)} ms` : `${ms(cell.mean_ms)} ms · ${cell.ratio.toFixed(2)}×`;
}

function swatch(contender) {
  const made = element("span", { class: contender.walks ? "stroke dashed" : "stroke", "aria-hidden": "true" });
  made.style.borderColor = `var(${contender.tint})`;
  return made;
}
