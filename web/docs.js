// The OpenAPI document of this service, made readable: routes, fields, examples, errors.

import { element } from "./state.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEEPEST = 6; // levels of objects within objects that are listed

/** What a reference stands for; anything else is itself. */
function resolved(whole, node) {
  let found = node;
  for (let hops = 0; found?.$ref && hops < 20; hops += 1) {
    const parts = found.$ref.split("/").slice(1);
    found = parts.reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], whole);
  }
  return found ?? {};
}

/** A schema's type in a few words. */
export function typeOf(whole, schema) {
  const node = resolved(whole, schema);
  const choices = node.anyOf ?? node.oneOf;
  if (choices) return [...new Set(choices.map((one) => typeOf(whole, one)))].join(" or ");
  if (node.const !== undefined) return JSON.stringify(node.const);
  if (node.enum) return node.enum.map((value) => JSON.stringify(value)).join(", ");
  if (node.type === "array") return `list of ${typeOf(whole, node.items ?? {})}`;
  if (Array.isArray(node.type)) return node.type.join(" or ");
  const extra = node.additionalProperties;
  if (node.type === "object" && extra && typeof extra === "object") return `object of ${typeOf(whole, extra)}`;
  return node.type ?? (node.properties ? "object" : "anything");
}

/** What else a schema demands: its bounds, its default. */
function limits(node) {
  const said = [];
  const add = (name, text) => node[name] !== undefined && said.push(text(node[name]));
  add("minimum", (value) => `at least ${value}`);
  add("exclusiveMinimum", (value) => `above ${value}`);
  add("maximum", (value) => `at most ${value}`);
  add("minItems", (value) => `${value} or more`);
  add("maxItems", (value) => `at most ${value} of them`);
  add("minLength", (value) => `${value} or more characters`);
  add("maxLength", (value) => `at most ${value} characters`);
  add("pattern", (value) => `matches ${value}`);
  if (node.default !== undefined && node.default !== null) said.push(`default ${JSON.stringify(node.default)}`);
  return said.join("; ");
}

/** Every field of a schema, those of objects within it too: [name, schema, required]. */
export function fieldsOf(whole, schema, prefix = "", level = 0) {
  const node = resolved(whole, schema);
  if (level > DEEPEST) return [];
  const inner = node.anyOf ?? node.oneOf ?? node.allOf;
  if (inner) return inner.flatMap((one) => fieldsOf(whole, one, prefix, level + 1));
  if (node.type === "array") return fieldsOf(whole, node.items ?? {}, `${prefix}[]`, level + 1);
  return Object.entries(node.properties ?? {}).flatMap(([name, field]) => {
    const place = prefix ? `${prefix}.${name}` : name;
    return [[place, field, node.required?.includes(name) ?? false], ...fieldsOf(whole, field, place, level + 1)];
  });
}

function fields(whole, schema) {
  const found = fieldsOf(whole, schema);
  const known = new Map(found.map((field) => [field[0], field]));
  if (!known.size) return null;
  const rows = [...known.values()].map(([name, field, required]) => {
    const node = resolved(whole, field);
    const about = [field.description ?? node.description, limits({ ...node, ...field })].filter(Boolean).join(" · ");
    return element("tr", {},
      element("th", { scope: "row" }, element("code", {}, name)),
      element("td", {}, typeOf(whole, field)),
      element("td", {}, required ? "yes" : ""),
      element("td", {}, ...prose(about)),
    );
  });
  const head = ["field", "type", "required", ""].map((name) => element("th", { scope: "col" }, name));
  return element("div", { class: "scroll" },
    element("table", { class: "fields" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)));
}

function shown(value) {
  return element("pre", { tabindex: "0" }, typeof value === "string" ? value : JSON.stringify(value, null, 2));
}

/** Examples of a body, a parameter or an answer, each under its summary. */
function examples(whole, holder) {
  const named = Object.entries(holder.examples ?? {}).map(([name, one]) => {
    const example = resolved(whole, one);
    return [example.summary ?? name, example.value];
  });
  const schema = resolved(whole, holder.schema ?? {});
  const plain = holder.example !== undefined ? [holder.example] : (schema.examples ?? []);
  return [...named, ...plain.map((value) => ["Example", value])]
    .filter(([, value]) => value !== undefined)
    .flatMap(([summary, value]) => [element("p", { class: "caption" }, summary), shown(value)]);
}

function content(whole, body) {
  return Object.entries(body.content ?? {}).flatMap(([type, holder]) =>
    [element("p", { class: "caption" }, element("code", {}, type)), fields(whole, holder.schema ?? {}), ...examples(whole, holder)].filter(Boolean),
  );
}

function parameters(whole, list) {
  if (!list.length) return [];
  const rows = list.map((given) => {
    const one = resolved(whole, given);
    return element("tr", {},
      element("th", { scope: "row" }, element("code", {}, one.name)),
      element("td", {}, one.in),
      element("td", {}, typeOf(whole, one.schema ?? {})),
      element("td", {}, ...prose([one.description, limits(one.schema ?? {})].filter(Boolean).join(" · "))),
    );
  });
  const head = ["parameter", "in", "type", ""].map((name) => element("th", { scope: "col" }, name));
  return [element("h3", {}, "Parameters"),
    element("div", { class: "scroll" }, element("table", { class: "fields" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows)))];
}

function answers(whole, responses) {
  return Object.entries(responses ?? {}).map(([status, given]) => {
    const one = resolved(whole, given);
    const details = element("details", { open: status.startsWith("2") },
      element("summary", {}, element("code", {}, status), " ", ...prose(one.description ?? "")), ...content(whole, one));
    return details;
  });
}

/** Text in which `code` is set as such. */
function prose(text) {
  return text.split(/(``?[^`]+``?)/).map((part) => (part.startsWith("`") ? element("code", {}, part.replaceAll("`", "")) : part));
}

function paragraphs(text) {
  return (text ?? "").split(/\n\s*\n/).filter(Boolean).map((one) => element("p", {}, ...prose(one)));
}

function operation(whole, path, method, node, shared) {
  const body = node.requestBody && resolved(whole, node.requestBody);
  return element("article", { class: "card operation", id: idOf(method, path) },
    element("h2", {}, element("span", { class: `method ${method}` }, method.toUpperCase()), element("code", {}, path)),
    element("p", { class: "sub" }, ...prose(node.summary ?? "")),
    ...paragraphs(node.description),
    ...parameters(whole, [...shared, ...(node.parameters ?? [])]),
    ...(body ? [element("h3", {}, "Body"), ...content(whole, body)] : []),
    element("h3", {}, "Answers"),
    ...answers(whole, node.responses),
  );
}

function idOf(method, path) {
  return `${method}${path.replace(/[^\w]+/g, "-")}`;
}

function render(whole) {
  document.getElementById("title").textContent = `${whole.info.title}: the API`;
  document.getElementById("about").replaceChildren(...paragraphs(whole.info.description));
  const groups = new Map();
  for (const [path, item] of Object.entries(whole.paths)) {
    for (const method of METHODS.filter((one) => item[one])) {
      const tag = item[method].tags?.[0] ?? "Routes";
      groups.set(tag, [...(groups.get(tag) ?? []), [path, method, item[method], item.parameters ?? []]]);
    }
  }
  const [contents, operations] = ["contents", "operations"].map((id) => document.getElementById(id));
  for (const [tag, found] of groups) {
    contents.append(element("strong", {}, tag));
    for (const [path, method, node, shared] of found) {
      contents.append(element("a", { href: `docs#${idOf(method, path)}` }, element("small", {}, method.toUpperCase()), ` ${path}`));
      operations.append(operation(whole, path, method, node, shared));
    }
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  const response = await fetch("openapi.json");
  if (!response.ok) throw new Error(`it answered ${response.status}`);
  render(await response.json());
} catch (error) {
  const notice = document.getElementById("notice");
  notice.hidden = false;
  notice.textContent = `The document can't be read just now (${error.message}). Reload to try again.`;
}
