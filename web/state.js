// What the page knows: who can be asked, and what they answered.

export const ROUNDS = 3;

/**
 * Everyone who is asked: a model, or one under each schedule it has.
 * `walks` tells whether it takes the tokens one after another: its depth, at the length for which
 * the service states it, is at least that length.
 */
export function contendersOf(models) {
  return models.flatMap((model, index) => {
    const depths = Object.entries(model.schedules ?? {});
    const ways = depths.length ? depths : [[null, model.sequential_depth]];
    return ways.map(([schedule, depth]) => ({
      id: schedule ? `${model.name}, ${schedule}` : model.name,
      model: model.name,
      schedule,
      tint: `--c${index % 12}`,
      walks: depth >= model.length,
      card: model,
    }));
  });
}

/** The replies of one text, by contender. */
export class Answers {
  #replies = new Map();

  add(contender, reply) {
    const replies = this.#replies.get(contender.id) ?? [];
    this.#replies.set(contender.id, [...replies, reply]);
  }

  rounds(contender) {
    return this.#replies.get(contender.id)?.length ?? 0;
  }

  /** The round whose forward is the middle one, whole: its stages sum to its total. */
  middle(contender) {
    const replies = this.#replies.get(contender.id);
    if (!replies) return null;
    const sorted = replies.toSorted((a, b) => a.timing.forward_ms - b.timing.forward_ms);
    return sorted[(sorted.length - 1) >> 1];
  }

  /** The largest of a number over everyone's middle round. */
  largest(contenders, number) {
    const middles = contenders.map((contender) => this.middle(contender)).filter(Boolean);
    return Math.max(0, ...middles.map(number));
  }
}

/** Stages of a reply, in order: [name, milliseconds]. */
export function stagesOf(timing) {
  return Object.entries(timing)
    .filter(([name]) => name.endsWith("_ms") && name !== "total_ms")
    .map(([name, ms]) => [name.slice(0, -3), ms]);
}

/** Each of `items` once, beginning further along each round, so that none is always first. */
export function rotated(items, round) {
  const start = Math.floor((items.length * round) / ROUNDS);
  return [...items.slice(start), ...items.slice(0, start)];
}

/** The hue of a CSS variable just now, light or dark. */
export function hue(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

export function ms(value) {
  if (value >= 100) return count(Math.round(value));
  return value.toFixed(value >= 10 ? 1 : 2);
}

export function count(value) {
  return value.toLocaleString("en-US");
}

/** An element with attributes, properties that aren't text, and children. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
