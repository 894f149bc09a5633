// How the page asks the service. Paths are relative, so that it works behind a prefix too.

const KEY = "lockstep-key";
const LONGEST_WAIT_SECONDS = 15;

/** An answer that isn't the one asked for; status 0 when there was none at all. */
export class Problem extends Error {
  constructor(status, detail, retrySeconds = null) {
    super(detail);
    this.status = status;
    this.retrySeconds = retrySeconds;
  }

  /** Whether the same request may well succeed a little later. */
  get passes() {
    return [0, 408, 429, 502, 503].includes(this.status);
  }

  get wantsKey() {
    return this.status === 401 || this.status === 403;
  }
}

export function useKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The JSON at a path; a body makes it a POST. Throws Problem, or AbortError when told to stop. */
export async function ask(path, { body, signal } = {}) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET",
      headers,
      body: body && JSON.stringify(body),
      signal,
      cache: "no-store",
    });
    if (response.ok) return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no answer");
  }
  const problem = await response.json().catch(() => ({}));
  const wait = Number(response.headers.get("retry-after"));
  throw new Problem(response.status, problem.detail ?? response.statusText, wait || null);
}

/**
 * Asks until there is an answer, for as long as the trouble may pass.
 * `trouble(problem, seconds)` is told before each wait; `trouble(null)` once it is over.
 */
export async function askPatiently(path, { body, signal, trouble }) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const reply = await ask(path, { body, signal });
      if (attempt) trouble(null);
      return reply;
    } catch (error) {
      if (!error.passes) throw error;
      const backoff = Math.min(2 ** attempt, LONGEST_WAIT_SECONDS);
      const seconds = Math.max(error.retrySeconds ?? 0, backoff);
      trouble(error, seconds);
      await pause(seconds * (1 + Math.random() / 5), signal);
    }
  }
}

/** Waits; throws AbortError when told to stop. */
export function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, seconds * 1000);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
