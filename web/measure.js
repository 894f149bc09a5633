// Asks every model about a text, one after another, so that none waits for another's forward.

import { askPatiently } from "./api.js";
import { rotated, ROUNDS } from "./state.js";

export class Measurement {
  #stopper = null;

  /** Stops what is under way, the request on the wire included. */
  stop() {
    this.#stopper?.abort();
    this.#stopper = null;
  }

  get running() {
    return this.#stopper !== null;
  }

  /**
   * A text through everyone, `rounds` times.
   *
   * `told` hears of it: reply(contender, reply), failed(contender, problem) for one that has no
   * answer to this text, round(done), trouble(problem, seconds) while the service can't be asked,
   * and refused(problem) for a text that nobody can be asked.
   */
  async text(contenders, text, told, rounds = ROUNDS) {
    await this.texts(contenders, [text], told, rounds);
  }

  /** Several texts; `told.round` is called after each of them too. */
  async texts(contenders, texts, told, rounds = 1) {
    this.stop();
    const stopper = (this.#stopper = new AbortController());
    try {
      for (const text of texts) {
        for (let round = 0; round < rounds; round += 1) {
          for (const contender of rotated(contenders, round)) {
            await this.#one(contender, text, told, stopper.signal);
          }
          told.round?.(round + 1, text);
        }
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error; // a fault of the page itself
      told.refused(error);
    } finally {
      if (this.#stopper === stopper) this.#stopper = null;
    }
  }

  async #one(contender, text, told, signal) {
    const { model, schedule } = contender;
    const body = { inputs: text, model, schedule: schedule ?? "auto" };
    try {
      const reply = await askPatiently("v1/classify", { body, signal, trouble: told.trouble });
      if (!signal.aborted) told.reply?.(contender, reply);
    } catch (error) {
      // Of this one alone: it failed, was too slow for this text, or isn't served any more.
      if (![404, 500, 504].includes(error.status)) throw error;
      told.failed?.(contender, error);
    }
  }
}
