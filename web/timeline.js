// The forward of each model as the steps that wait for one another, all to one time scale.

import { count, element, hue, ms } from "./state.js";

const HEIGHT = 22;
const NARROWEST = 4; // pixels of a block, the gap after it included
const PLAY_SECONDS = 5; // of the slowest, when played slowly
const STILL = "Your system asks for less motion, so this stands still: read it from left to right.";

export class Lanes {
  #contenders = [];
  #answers = null;
  #rows = new Map();
  #played = null; // the share of the slowest forward that is over, while it is played
  #frame = 0;
  #still = false; // asked to play where nothing may move

  constructor(root, button, note) {
    this.root = root;
    this.button = button;
    this.note = note;
    button.addEventListener("click", () => (this.#frame ? this.#stop() : this.#play()));
    new ResizeObserver(() => this.draw()).observe(root);
    for (const query of ["(prefers-color-scheme: dark)", "(resolution: 1dppx)"]) {
      matchMedia(query).addEventListener("change", () => this.draw());
    }
  }

  build(contenders) {
    this.#contenders = contenders;
    this.#rows = new Map(contenders.map((contender) => [contender.id, lane(contender)]));
    this.root.replaceChildren(...[...this.#rows.values()].map((parts) => parts.row));
  }

  show(answers) {
    this.#answers = answers;
    this.draw();
  }

  /** Everything anew: the answers, the width or the colours changed, or time goes on. */
  draw() {
    const answers = this.#answers;
    const scale = answers?.largest(this.#contenders, (reply) => reply.timing.forward_ms);
    this.button.disabled = !scale;
    for (const contender of this.#contenders) {
      const { row, canvas, steps, time } = this.#rows.get(contender.id);
      const reply = answers?.middle(contender);
      row.hidden = !reply;
      if (!reply) continue;
      const { forward_ms: forward, sequential_depth: depth } = reply.timing;
      const done = this.#played === null ? 1 : Math.min(1, (this.#played * scale) / forward);
      const block = paint(canvas, hue(contender.tint), depth, forward / scale, done);
      steps.textContent = told(contender, reply);
      time.textContent = `${ms(forward)} ms`;
      row.dataset.depth = depth;
      row.dataset.block = block;
      canvas.setAttribute("aria-label", `${count(depth)} steps in ${ms(forward)} milliseconds`);
    }
    this.#tellBlocks();
  }

  #tellBlocks() {
    const grouped = [...this.#rows].filter(([, { row }]) => !row.hidden && Number(row.dataset.block) > 1);
    const parts = this.#still ? [STILL] : [];
    parts.push("A step's width is the measured forward over its number of steps; single steps aren't timed.");
    if (grouped.length) {
      const sizes = grouped.map(([id, { row }]) => `${row.dataset.block} (${id})`).join(", ");
      parts.push(`Too narrow to draw one by one, so a block is so many steps: ${sizes}.`);
    }
    this.note.textContent = parts.join(" ");
  }

  #play() {
    // Whoever asked for less motion gets no moving picture, here neither.
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.#still = true;
      return this.#tellBlocks();
    }
    const began = performance.now();
    this.button.textContent = "Stop";
    const tick = (now) => {
      this.#played = (now - began) / 1000 / PLAY_SECONDS;
      if (this.#played >= 1) return this.#stop();
      this.draw();
      this.#frame = requestAnimationFrame(tick);
    };
    this.#frame = requestAnimationFrame(tick);
  }

  #stop() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#played = null;
    this.button.textContent = "Play it slowly";
    this.draw();
  }
}

function lane(contender) {
  const canvas = element("canvas", { role: "img" });
  const steps = element("span", { class: "steps" });
  const time = element("span", { class: "number" });
  const name = element("span", { class: "name" }, contender.model);
  if (contender.schedule) name.append(element("small", {}, contender.schedule));
  const row = element("div", { class: "lane", "data-contender": contender.id }, name, canvas, steps, time);
  row.hidden = true;
  return { row, canvas, steps, time };
}

/** How the depth comes about, as far as the service tells. */
function told(contender, reply) {
  const { sequential_depth: depth } = reply.timing;
  const [{ tokens }] = reply.results;
  const read = Math.min(tokens, contender.card.window ?? tokens);
  if (contender.walks && depth % read === 0) {
    const layers = depth / read;
    return `${count(depth)} steps: ${count(read)} tokens × ${layers} ${layers === 1 ? "layer" : "layers"}`;
  }
  return `${count(depth)} ${depth === 1 ? "step" : "steps"}, each over ${count(read)} tokens`;
}

/** Draws `depth` blocks over a share of the width; returns how many steps a block stands for. */
function paint(canvas, colour, depth, share, done) {
  const ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(HEIGHT * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const length = Math.max(2, width * share);
  const block = Math.max(1, Math.ceil((depth * NARROWEST) / length));
  const step = length / depth;
  const gap = Math.min(1.5, step * block * 0.3);
  context.fillStyle = colour;
  for (let at = 0; at < depth; at += block) {
    const steps = Math.min(block, depth - at);
    // A step that isn't over when the clock stands here hasn't been taken.
    context.globalAlpha = (at + steps) / depth <= done + 1e-9 ? 1 : 0.18;
    context.fillRect(at * step, 0, Math.max(1, steps * step - gap), HEIGHT);
  }
  return block;
}
