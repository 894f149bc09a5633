// How many steps lie between two words, by what each model's card says of how far a state has read.

import { words } from "./samples.js";
import { element } from "./state.js";

const MOST_WORDS = 40;
const FIRST_LOOK = 12; // words that the choice spans to begin with, unless the text has its own
const ROOM = 40; // pixels above a line of dots, for the arcs
const SVG = "http://www.w3.org/2000/svg";

/**
 * The steps between words `distance` apart: how many, null where there are none, and how many words
 * on the first is known after each of them.
 * A card states `reach`, words away that a state has read after 1, 2, … steps (null: all of them),
 * and `stride`, what each step after those adds; one of an earlier version states neither.
 */
export function way({ reach, stride }, distance) {
  const stops = [0];
  const known = (step) => (step <= reach.length ? reach[step - 1] ?? distance : reach.at(-1) + (step - reach.length) * stride);
  while (stops.at(-1) < distance && (stops.length <= reach.length || (reach.length && stride))) {
    stops.push(Math.min(known(stops.length), distance));
  }
  const number = stops.length - 1;
  if (!reach.length) return { kind: "untold", number: null, stops };
  if (stops.at(-1) < distance) return { kind: "never", number: null, layers: number, read: stops.at(-1), stops };
  if (reach[0] === null) return { kind: "direct", number, stops };
  if (number <= reach.length) return { kind: "layers", number, stops };
  return { kind: "along", number, layers: reach.length, read: reach.at(-1), stops };
}

export class Path {
  #models = [];
  #words = [];
  #chosen = [];

  constructor(section, root, title) {
    this.section = section;
    this.root = root;
    this.title = title;
    new ResizeObserver(() => this.#drawRows()).observe(root);
  }

  build(models) {
    this.#models = models;
    this.#draw();
  }

  /** A text, and which two of its words to begin with; else its first and one some words on. */
  show(text, pair) {
    const said = words(text).slice(0, MOST_WORDS);
    if (said.join(" ") === this.#words.join(" ")) return;
    this.#words = said;
    const plain = said.map((word) => word.toLowerCase().replace(/[^\p{L}\p{N}]+$/u, ""));
    const found = (pair ?? []).map((word) => plain.indexOf(word));
    const given = found.length === 2 && !found.includes(-1);
    this.#chosen = given ? found : [0, Math.min(said.length, FIRST_LOOK) - 1];
    this.#draw();
  }

  #draw() {
    this.section.hidden = this.#words.length < 2 || !this.#models.length;
    if (this.section.hidden) return;
    const buttons = this.#words.map((word, at) => {
      const button = element("button", { type: "button", "aria-pressed": this.#chosen.includes(at) }, word);
      button.addEventListener("click", () => this.#choose(at));
      return button;
    });
    this.line = element("div", { class: "words", role: "group", "aria-label": "Words of the text" }, ...buttons);
    this.rows = element("div", { class: "arcs" });
    this.root.replaceChildren(this.line, this.rows);
    this.#drawRows();
  }

  #choose(at) {
    if (this.#chosen.includes(at)) return;
    this.#chosen = [this.#chosen[1], at];
    [...this.line.children].forEach((button, place) =>
      button.setAttribute("aria-pressed", this.#chosen.includes(place)),
    );
    this.#drawRows();
  }

  #drawRows() {
    if (this.section.hidden || !this.line) return;
    const [from, to] = this.#chosen.toSorted((a, b) => a - b);
    const distance = to - from;
    const name = (at) => `“${this.#words[at].replace(/[^\p{L}\p{N}]+$/u, "")}”`;
    this.title.textContent = `From ${name(from)} to ${name(to)}, ${distance} ${distance === 1 ? "word" : "words"} on`;
    const groups = new Map();
    for (const model of this.#models) {
      const found = way(model, distance);
      const key = JSON.stringify(found);
      groups.set(key, { ...found, models: [...(groups.get(key)?.models ?? []), model.name] });
    }
    const places = [...this.line.children].map((button) => button.offsetLeft + button.offsetWidth / 2);
    const width = this.line.scrollWidth;
    this.rows.replaceChildren(
      ...[...groups.values()]
        .sort((a, b) => (b.number ?? Infinity) - (a.number ?? Infinity))
        .map((group) => row(group, places, from, to, width)),
    );
  }
}

function row(group, places, from, to, width) {
  const figure = element("figure", { "data-steps": group.number, "data-kind": group.kind });
  figure.append(element("figcaption", {}, element("strong", {}, headline(group)), ` ${group.models.join(", ")}`));
  const svg = document.createElementNS(SVG, "svg");
  const draw = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    svg.append(made);
  };
  for (const [name, value] of Object.entries({ width, height: ROOM + 8, class: group.kind, "aria-hidden": "true" })) {
    svg.setAttribute(name, value);
  }
  const hops = [...new Set(group.stops)].map((words) => places[from + words]);
  hops.slice(1).forEach((x, at) => {
    const [left, lift] = [hops[at], Math.min(ROOM - 4, 10 + (x - hops[at]) / 7)];
    draw("path", { d: `M${left} ${ROOM}C${left} ${ROOM - lift * 1.3} ${x} ${ROOM - lift * 1.3} ${x} ${ROOM}` });
  });
  places.forEach((x, at) => draw("circle", { cx: x, cy: ROOM, r: at === from || at === to ? 5 : 2.5 }));
  figure.append(svg);
  return figure;
}

function headline({ kind, number, layers, read }) {
  if (kind === "untold") return "Its card doesn't say.";
  if (kind === "never") return `Never: after ${of(layers, "layer")} a state has read no further than ${of(read, "word")}.`;
  if (kind === "direct") return "1 step, wherever they stand.";
  if (kind === "layers") return `${of(number, "step")}: ${of(number, "layer")}.`;
  if (!read) return `${of(number, "step")}: the word's own, then one word after another.`;
  return `${of(number, "step")}: ${of(layers, "layer")} for ${of(read, "word")}, then one word after another.`;
}

function of(number, thing) {
  return `${number} ${thing}${number === 1 ? "" : "s"}`;
}
