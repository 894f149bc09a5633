// A row a model: what it said, and a bar of where the milliseconds went.

import { count, element, ms, ROUNDS, stagesOf } from "./state.js";

export class Board {
  #rows = new Map();

  constructor(body, legend) {
    this.body = body;
    this.legend = legend;
  }

  /** A row for everyone, in their order; what was there before goes. */
  build(contenders) {
    this.#rows = new Map(contenders.map((contender) => [contender.id, row(contender)]));
    this.body.replaceChildren(...[...this.#rows.values()].map((parts) => parts.row));
  }

  /** The text changed: what is shown is of the one before, until each has answered. */
  dim() {
    for (const { row } of this.#rows.values()) row.classList.add("stale");
  }

  clear() {
    for (const parts of this.#rows.values()) {
      parts.row.classList.remove("stale");
      parts.row.removeAttribute("data-label");
      parts.row.removeAttribute("data-rounds");
      for (const cell of [parts.verdict, parts.bar, parts.forward, parts.total]) cell.replaceChildren();
    }
  }

  /** One that has no answer to this text, and why. */
  failed(contender, problem) {
    const parts = this.#rows.get(contender.id);
    this.#fresh(parts);
    parts.row.removeAttribute("data-label");
    parts.verdict.replaceChildren(element("span", { class: "failed" }, `no answer: ${problem.message}`));
    for (const cell of [parts.bar, parts.forward, parts.total]) cell.replaceChildren();
  }

  /** Everyone who answered; all bars are drawn anew, since they share a scale. */
  show(contenders, answers, latest) {
    if (latest) this.#fresh(this.#rows.get(latest.id));
    const scale = answers.largest(contenders, (reply) => reply.timing.total_ms);
    for (const contender of contenders) {
      const reply = answers.middle(contender);
      if (reply) this.#fill(this.#rows.get(contender.id), contender, reply, scale, answers);
    }
  }

  #fresh(parts) {
    parts.row.classList.remove("stale");
  }

  #fill(parts, contender, reply, scale, answers) {
    const [result] = reply.results;
    const stages = stagesOf(reply.timing);
    parts.row.dataset.label = result.label;
    parts.row.dataset.rounds = answers.rounds(contender);
    parts.verdict.replaceChildren(verdict(result, contender.card.labels));
    parts.bar.replaceChildren(bar(stages, reply.timing.total_ms, scale));
    parts.forward.replaceChildren(ms(reply.timing.forward_ms));
    parts.total.replaceChildren(ms(reply.timing.total_ms));
    if (!this.legend.childElementCount) {
      this.legend.replaceChildren(
        ...stages.map(([name], at) =>
          element("li", {}, element("span", { class: `swatch stage-${at}`, "aria-hidden": "true" }), name),
        ),
      );
    }
  }
}

function row(contender) {
  const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = `var(${contender.tint})`;
  const head = element("th", { scope: "row" }, swatch, contender.model);
  if (contender.schedule) head.append(element("small", {}, contender.schedule));
  const [verdict, bar] = ["verdict", "bars"].map((name) => element("td", { class: name }));
  const [forward, total] = [1, 2].map(() => element("td", { class: "number right" }));
  const made = element("tr", { "data-contender": contender.id }, head, verdict, bar, forward, total);
  return { row: made, verdict, bar, forward, total };
}

function verdict(result, labels) {
  const at = labels.indexOf(result.label);
  const percent = `${(100 * result.score).toFixed(result.score > 0.995 ? 1 : 0)}%`;
  const said = element("span", { class: `pill label-${at % 6}` }, result.label);
  const whole = element("span", { class: "said" }, said, element("span", { class: "number" }, percent));
  if (result.truncated) {
    const title = `It reads a window; of these ${count(result.tokens)} tokens the middle was left out.`;
    whole.append(element("span", { class: "tag", title }, "cut"));
  }
  if (result.unknown_tokens) {
    whole.append(element("span", { class: "tag" }, `${count(result.unknown_tokens)} unknown`));
  }
  return whole;
}

function bar(stages, total, scale) {
  const said = stages.map(([name, value]) => `${name} ${ms(value)}`).join(", ");
  const label = `${ms(total)} milliseconds: ${said}`;
  const made = element("div", { class: "bar", role: "img", "aria-label": label, title: label });
  made.style.width = `${(100 * total) / scale}%`;
  stages.forEach(([name, value], at) => {
    const part = element("span", { class: `stage-${at}`, "data-stage": name });
    part.style.flexGrow = value;
    made.append(part);
  });
  return made;
}

/** One line for what everyone said. */
export function summary(contenders, answers) {
  const replies = contenders.map((contender) => answers.middle(contender)).filter(Boolean);
  if (!replies.length) return "";
  const votes = new Map();
  for (const { results } of replies) votes.set(results[0].label, (votes.get(results[0].label) ?? 0) + 1);
  const sorted = [...votes].sort((a, b) => b[1] - a[1]);
  const said =
    sorted.length === 1
      ? `All ${replies.length} say ${sorted[0][0]}`
      : sorted.map(([label, number]) => `${number} say ${label}`).join(", ");
  const { results, timing } = replies[0];
  const rounds = Math.min(...contenders.map((contender) => answers.rounds(contender)));
  const where = [...new Set(replies.map((reply) => reply.timing.dtype))].join(" and ");
  return (
    `${said}. ${count(results[0].tokens)} tokens, on ${timing.device} in ${where}` +
    (rounds < ROUNDS ? "; measuring …" : `; the middle of ${ROUNDS} rounds.`)
  );
}
