// The two logarithmic axes of the chart: ranges of lengths, and milliseconds or ratios.

import { hue } from "./state.js";

const FONT = "12px system-ui, sans-serif";
const NICE = [1, 2, 5];
const BEYOND = 2; // the last range has no end: it stands as if it were one more doubling

/** Where a range of lengths stands on the axis: the geometric middle of its last doubling, in tokens. */
export function middleOf(bucket) {
  const [from, to] = bucket.split(/[-+]/).map(Number);
  const end = to || from * BEYOND;
  return Math.sqrt(Math.max(from, end / 2) * end);
}

/** The room about the points. */
export const scales = {
  x: { time: false, distr: 3, log: 2, range: (_, low, high) => [low / 1.35, high * 1.35] },
  y: { distr: 3, log: 10, range: (_, low, high) => [(low ?? 1) / 1.3, (high ?? 1) * 1.3] },
};

/** A mark for each of `lengths`, slanted where `narrow`; up the side `unit`, with `sign` behind each number. */
export function axes({ lengths, narrow, unit, sign }) {
  const [ink, line] = [hue("--muted"), hue("--line")];
  const axis = { stroke: ink, font: FONT, labelFont: FONT, ticks: { stroke: line, width: 1, size: 4 } };
  return [
    {
      ...axis,
      label: "tokens of the longest text in the batch",
      splits: () => lengths.map(middleOf),
      filter: (_, splits) => splits,
      values: () => lengths,
      rotate: narrow ? -45 : 0,
      size: narrow ? 76 : 44,
      grid: { show: false },
    },
    {
      ...axis,
      label: unit,
      size: 60,
      splits: (_, __, low, high) => nice(low, high),
      filter: (_, splits) => splits,
      values: (_, splits) => splits.map((value) => `${tidy(value)}${sign}`),
      grid: { stroke: line, width: 1 },
    },
  ];
}

/** 1, 2 and 5 times the powers of ten between two numbers. */
function nice(low, high) {
  const found = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    found.push(...NICE.map((digit) => digit * 10 ** power));
  }
  return found.filter((value) => value >= low && value <= high);
}

function tidy(value) {
  return Number(value.toPrecision(3)).toString();
}
