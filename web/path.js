// How many steps lie between two words, by what each model's card says of its longest path.

import { words } from "./samples.js";
import { element } from "./state.js";

const MOST_WORDS = 40;
const FIRST_LOOK = 12; // words that the choice spans to begin with, unless the text has its own
const ROOM = 40; // pixels above a line of dots, for the arcs
const SVG = "http://www.w3.org/2000/svg";

/**
 * Steps between words `distance` apart.
 * A card states the longest path of a text of `length` tokens. It is 1 where every word meets every
 * other; a step a word and a few more where it goes along the words; else it is of a local window,
 * and in proportion, as near as the card tells. A window that needs more layers than there are
 * doesn't join the two.
 */
export function steps({ length, longest_path: longest, sequential_depth: depth }, distance) {
  if (longest === 1) return { kind: "direct", number: 1 };
  const more = longest - (length - 1);
  if (more >= 0) return { kind: "along", number: distance + more, more };
  const number = Math.max(1, Math.round((distance * longest) / (length - 1)));
  return { kind: "local", number, joined: number <= depth, depth, reach: (depth * (length - 1)) / longest };
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
      const way = steps(model, distance);
      const key = `${way.kind} ${way.number}`;
      groups.set(key, { ...way, models: [...(groups.get(key)?.models ?? []), model.name] });
    }
    const places = [...this.line.children].map((button) => button.offsetLeft + button.offsetWidth / 2);
    const width = this.line.scrollWidth;
    this.rows.replaceChildren(
      ...[...groups.values()]
        .sort((a, b) => b.number - a.number)
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
  const hops = hopsOf(group, places, from, to);
  hops.slice(1).forEach((x, at) => {
    const [left, lift] = [hops[at], Math.min(ROOM - 4, 10 + (x - hops[at]) / 7)];
    draw("path", { d: `M${left} ${ROOM}C${left} ${ROOM - lift * 1.3} ${x} ${ROOM - lift * 1.3} ${x} ${ROOM}` });
  });
  places.forEach((x, at) => draw("circle", { cx: x, cy: ROOM, r: at === from || at === to ? 5 : 2.5 }));
  figure.append(svg);
  return figure;
}

/** Where the arcs touch down: at every word, at none between, or at equal parts of the way. */
function hopsOf({ kind, number, joined, depth, reach }, places, from, to) {
  if (kind === "along") return places.slice(from, to + 1);
  if (kind === "direct") return [places[from], places[to]];
  const hops = joined ? number : depth;
  const way = (places[to] - places[from]) * (joined ? 1 : reach / (to - from));
  return Array.from({ length: hops + 1 }, (_, at) => places[from] + (way * at) / hops);
}

function headline({ kind, number, more, joined, depth }) {
  if (kind === "direct") return "1 step, wherever they stand.";
  if (kind === "local" && !joined) return `Not within its ${depth} layers: they meet in the pooling alone.`;
  if (kind === "local") return `About ${number} ${number === 1 ? "layer" : "layers"} of a local window.`;
  const layers = more === 1 ? "1 layer" : `${more} layers`;
  return `${number} steps: ${number - more} along the words, ${layers} up.`;
}
