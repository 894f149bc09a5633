// Texts to begin with, written for this page; each longer than the one before.

import { LONG_REVIEW } from "./long-review.js";

export const SAMPLES = [
  { title: "Five words", text: "Dull, and far too long." },
  {
    title: "The boy is happy",
    text: "The boy who loves playing in the yard is happy.",
    pair: ["boy", "is"],
  },
  {
    title: "A turn at the end",
    text:
      "A slow start, a plot that I had guessed by the second scene, and a hero with the charm of a " +
      "parking ticket. I was ready to walk out. But then the old man opens the letter, the music " +
      "stops, and for twenty minutes nobody in the room so much as coughed. By the end I was in " +
      "tears. Wonderful.",
  },
  {
    title: "A short review",
    text:
      "I wanted to like this far more than I did. The book is a small marvel, funny and exact, and " +
      "the cast could hardly be better chosen. For half an hour it works: the town has weight, the " +
      "two sisters quarrel the way real sisters do, and the camera is content to watch. Then " +
      "somebody must have lost their nerve. A chase arrives that nobody asked for, followed by a " +
      "second one in case we had missed the first, and a villain who explains himself at such length " +
      "that the man beside me began to check his messages. What was quiet becomes loud, what was odd " +
      "becomes ordinary, and every scene that the book leaves open is closed here with a speech and " +
      "a swell of strings.\n\nThere are still good things in it. The younger sister is played with a " +
      "stillness that made me sit up, and one long dinner, shot from the end of the table, is as good " +
      "as anything I have seen this year. It only makes the rest more annoying. You can feel a better " +
      "film in there, knocking on the wall. I left disappointed, and a little angry, and I went home " +
      "and read the book again, which was the best thing to come out of the whole evening. Save your " +
      "money and do the same.",
  },
  { title: "A very long review", text: LONG_REVIEW },
];

/** Words of a text, as white space parts them. */
export function words(text) {
  return text.split(/\s+/).filter(Boolean);
}

/** A text said again and again, or cut, until it has so many words. */
export function repeated(text, length) {
  const said = words(text);
  if (!said.length) return text;
  return Array.from({ length }, (_, at) => said[at % said.length]).join(" ");
}

const LONGEST = 8000; // words that the slider goes to

/** Where the slider stands, 0 to 100, as words: none at 0, then by equal ratios up to the end. */
export function lengthAt(position, own) {
  if (!position || !own) return null;
  const shortest = Math.max(own + 1, 5);
  return Math.round(shortest * (Math.max(LONGEST, shortest) / shortest) ** ((position - 1) / 99));
}
