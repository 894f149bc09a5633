// The page: its parts, and what happens when the reader types, chooses or waits.

import { ask, askPatiently, Problem, useKey } from "./api.js";
import { Chart } from "./chart.js";
import { Measurement } from "./measure.js";
import { Path } from "./path.js";
import { lengthAt, repeated, SAMPLES, words } from "./samples.js";
import { Answers, contendersOf, count, element, ROUNDS } from "./state.js";
import { Lanes } from "./timeline.js";
import { Board, summary } from "./verdicts.js";

const TYPING_MS = 300; // of rest before a text is asked about
const GAP_MS = 2500; // between looks at /v1/gap
const SWEEP_WORDS = [10, 20, 40, 80, 160, 320, 640, 1280];
const REASONS = {
  0: "The service doesn't answer",
  429: "The service is busy",
  503: "The models aren't ready",
};

const $ = (id) => document.getElementById(id);
const [text, slider] = [$("text"), $("repeat")];
const board = new Board($("board"), $("stages"));
const lanes = new Lanes($("lanes"), $("play"), $("lanes-note"));
const path = new Path($("path-section"), $("path"), $("path-sub"));
const chart = new Chart({
  root: $("chart"),
  empty: $("chart-empty"),
  readout: $("readout"),
  legend: $("legend"),
  table: $("gap-table"),
  baseline: $("baseline"),
  batch: $("batch"),
  units: [...document.querySelectorAll('input[name="unit"]')],
});
const measurement = new Measurement();

let contenders = [];
let answers = new Answers();
let pair = SAMPLES[1].pair;
let typing = 0;
let sweeping = false;

/** What is asked about: what was typed, as often as the slider says. */
function wanted() {
  const typed = text.value;
  const length = lengthAt(Number(slider.value), words(typed).length);
  return length === null ? typed : repeated(typed, length);
}

function tellSize() {
  const number = words(wanted()).length;
  const as = Number(slider.value) ? "repeated to " : "";
  const said = `${as}${count(number)} ${number === 1 ? "word" : "words"}`;
  $("size").textContent = said;
  slider.setAttribute("aria-valuetext", Number(slider.value) ? said : "as written");
}

function tell(message) {
  $("notice").hidden = !message;
  $("notice-text").textContent = message ?? "";
}

/** The service can't be asked just now; or, with null, it can again. */
function trouble(problem, seconds) {
  if (!problem) {
    tell(null);
    return meet(); // it may have come back with other models
  }
  const reason = REASONS[problem.status] ?? `The service can't answer (${problem.status})`;
  tell(`${reason}. Trying again in ${Math.ceil(seconds)} s; what is shown stays.`);
}

/** A request that trying again won't help. */
function refused(problem) {
  if (problem.wantsKey) {
    $("key-form").hidden = false;
    tell(problem.status === 403 ? "That key isn't for this." : null);
    return;
  }
  tell(`This text can't be judged: ${problem.message}`);
}

const told = {
  reply(contender, reply) {
    answers.add(contender, reply);
    board.show(contenders, answers, contender);
    lanes.show(answers);
    tell(null);
  },
  failed(contender, problem) {
    board.failed(contender, problem);
  },
  round() {
    $("summary").textContent = summary(contenders, answers);
    lookAtGap();
  },
  trouble,
  refused,
};

/** Asks everyone about the text in the box, after a rest from typing. */
function ponder(rest = TYPING_MS) {
  clearTimeout(typing);
  measurement.stop();
  endSweep();
  tellSize();
  path.show(text.value, pair);
  board.dim();
  typing = setTimeout(async () => {
    answers = new Answers();
    if (!words(text.value).length) {
      board.clear();
      lanes.show(answers);
      $("summary").textContent = "Nothing to judge yet.";
      return tell(null);
    }
    if (contenders.length) await measurement.text(contenders, wanted(), told);
  }, rest);
}

/** The text at every length, once through everyone, so that the chart has all its ranges. */
async function sweep() {
  if (sweeping) {
    measurement.stop();
    return endSweep();
  }
  const seed = words(text.value).length ? text.value : SAMPLES[2].text;
  sweeping = true;
  let done = 0;
  const label = () => `Stop (${done} of ${SWEEP_WORDS.length})`;
  $("sweep").textContent = label();
  clearTimeout(typing);
  await measurement.texts(contenders, SWEEP_WORDS.map((length) => repeated(seed, length)), {
    trouble,
    refused,
    reply: () => tell(null),
    round() {
      done += 1;
      $("sweep").textContent = label();
      lookAtGap();
    },
  });
  if (done < SWEEP_WORDS.length) return; // stopped, by whoever goes on from here
  endSweep();
  if (contenders.some((contender) => answers.rounds(contender) < ROUNDS)) ponder(0);
}

function endSweep() {
  sweeping = false;
  $("sweep").textContent = "Try every length";
}

/** What everybody's requests have cost so far. */
async function lookAtGap() {
  if (!contenders.length) return;
  try {
    const query = chart.baseline ? `?baseline=${encodeURIComponent(chart.baseline)}` : "";
    const gap = await ask(`v1/gap${query}`);
    chart.show(gap);
    const total = gap.forwards.reduce((sum, one) => sum + one.count, 0);
    $("gap-state").textContent = `Live: ${count(total)} ${total === 1 ? "forward" : "forwards"} so far`;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    $("gap-state").textContent = "Not live just now; what is shown stays";
    if (error.status === 404) await meet(); // the baseline isn't served any more
  }
}

/** Who can be asked: at the start, and again after the service was away. */
async function meet() {
  try {
    const { models } = await askPatiently("v1/models", { trouble });
    const found = contendersOf(models);
    if (found.map((one) => one.id).join() === contenders.map((one) => one.id).join()) return;
    contenders = found;
    answers = new Answers();
    board.build(contenders);
    lanes.build(contenders);
    path.build(models);
    chart.build(contenders);
    ponder(0);
    lookAtGap();
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    refused(error);
  }
}

for (const sample of SAMPLES) {
  const length = words(sample.text).length;
  const button = element("button", { type: "button", "data-words": length }, sample.title);
  button.append(element("small", {}, `${count(length)} words`));
  button.addEventListener("click", () => {
    text.value = sample.text;
    slider.value = 0;
    pair = sample.pair;
    ponder(0);
  });
  $("samples").append(button);
}

text.addEventListener("input", () => ponder());
slider.addEventListener("input", () => ponder());
$("sweep").addEventListener("click", sweep);
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey($("key").value);
  $("key-form").hidden = true;
  if (contenders.length) ponder(0);
  else meet();
});
chart.onchange = () => {
  chart.draw();
  lookAtGap();
};
document.addEventListener("visibilitychange", () => document.hidden || lookAtGap());
setInterval(() => document.hidden || lookAtGap(), GAP_MS);

text.value ||= SAMPLES[1].text;
tellSize();
path.show(text.value, pair);
meet();
