// The page: what is chosen (sample, trace, scores, token) lives in `state`; every part draws itself from it.

const THREE = ["kl", "curl_norm", "rpi"]; // always in the chart
const KINDS = { signal: "signals", labels: "labels", scores: "scores of a PRM" };
const by = (id) => document.getElementById(id);
const trace = (name) => data.traces.find((t) => t.name === name);
const first = (kind) => data.sources.find((s) => s.kind === kind)?.name;
const state = { sample: 0, trace: "none", token: null, pointed: null, sources: new Set(), running: false, typical: false };
state.trace = data.traces.find((t) => known(t.low))?.name ?? "none";
state.sources = new Set(Object.keys(KINDS).map(first).filter(Boolean));
const chart = makeChart(by("chart"), (token) => choose(token), (token) => { state.pointed = token; mark(); });

const sample = () => data.samples[state.sample];
const tokens = () => [...by("text").querySelectorAll(".token")];
const rolesOf = (made) => made.ends.map((_, step) => made.roles[step] ?? null);

// ---- what is chosen ----

function drawPicker() {
  const scored = data.sources.find((s) => s.kind === "scores" && state.sources.has(s.name)) ?? data.sources.find((s) => s.kind === "scores");
  by("picker").querySelector("legend").textContent = scored ? `samples, with answer and score (${sourceTitle(scored)}, ${scored.reduce ?? "not reduced"})` : "samples, with answer";
  by("picker").querySelector(".cards").replaceChildren(...data.samples.map((made, i) => {
    const input = make("input", { type: "radio", name: "sample", value: i, id: `sample-${i}` });
    input.checked = i === state.sample;
    input.addEventListener("change", () => pick(i));
    const answer = make("b", { title: made.answer || made.why }, made.answer || "no answer");
    const whole = scored ? made.whole[scored.name] : undefined;
    const line = make("span", { class: "line" }, make("span", { class: "quiet" }, `#${made.index}`), answer, ...(scored ? [make("span", { class: "num" }, belief(whole))] : []));
    return make("label", { for: input.id }, input, line, ...(scored ? [bar(whole)] : []));
  }));
}

function drawButtons() {
  const all = [...data.traces, { name: "none", label: "none", low: 0 }];
  by("traces").replaceChildren(...all.map((t) => {
    const button = make("button", { type: "button", "data-trace": t.name, "aria-pressed": t.name === state.trace }, t.label);
    button.disabled = !known(t.low);
    if (button.disabled) button.title = "this model has no such trace";
    button.addEventListener("click", () => { state.trace = t.name; drawButtons(); colour(); drawChart(); by("traces").querySelector(`[data-trace=${t.name}]`).focus(); });
    return button;
  }));
  const running = make("button", { type: "button", id: "running", "aria-pressed": state.running }, "running text");
  running.addEventListener("click", () => { state.running = !state.running; drawButtons(); by("running").focus(); });
  by("text").classList.toggle("running", state.running);
  by("traces").append(running);
  const t = trace(state.trace);
  if (!t) return by("legend").replaceChildren(make("span", { class: "quiet" }, "no colour"));
  const unit = t.unit && ` ${t.unit}`;
  const scale = make("span", { class: "scale", role: "img", "aria-label": `${t.label} from ${shown(t.low)} (pale) to ${shown(t.high)} (deep)` },
    make("span", {}, `≤ ${shown(t.low)}`), make("i", { class: "ramp" }), make("span", {}, `≥ ${shown(t.high)}${unit}`));
  by("legend").replaceChildren(scale, make("span", { class: "quiet" }, t.about));
}

function drawSources() {
  by("sources").querySelector("summary").textContent = `scores beside the steps: ${data.sources.filter((s) => state.sources.has(s.name)).map(sourceTitle).join(", ") || "none"}`;
  by("sources").hidden = !data.sources.length;
  by("sources").querySelector(".groups").replaceChildren(...Object.entries(KINDS).map(([kind, title]) => {
    const boxes = data.sources.filter((s) => s.kind === kind).map((s) => {
      const box = make("input", { type: "checkbox", "data-source": s.name });
      box.checked = state.sources.has(s.name);
      box.addEventListener("change", () => { state.sources[box.checked ? "add" : "delete"](s.name); drawSources(); drawPicker(); drawSteps(); by("sources").querySelector(`[data-source="${CSS.escape(s.name)}"]`).focus(); });
      return make("label", {}, box, s.label);
    });
    return make("div", { role: "group", "aria-label": title }, make("span", { class: "quiet" }, title), ...boxes);
  }).filter((group) => group.querySelector("input")));
}

// ---- the text ----

function scoresOf(made, step, names) {
  return names.filter((s) => made.scores[s.name]).map((s) =>
    make("span", { class: "score", "data-source": s.name }, make("span", { class: "quiet", title: sourceTitle(s) }, sourceTitle(s)), bar(made.scores[s.name][step])));
}

function drawText() {
  const made = sample(), letters = Array.from(made.text); // by code points, as the offsets count
  const count = Math.max(made.ends.length, 1), words = Array.from({ length: count }, () => make("p", { class: "words" }));
  let at = 0;
  made.spans.forEach(([start, end], i) => {
    const home = words[made.steps[i] ?? 0], word = letters.slice(Math.max(start, at), end).join("");
    const bare = word.trimStart() || word, space = letters.slice(at, start).join("") + word.slice(0, word.length - bare.length);
    home.append(home.firstChild ? space : make("span", { class: "lead" }, space)); // spaces before a word carry no colour
    home.append(tokenOf(bare, i, made.steps[i - 1] !== made.steps[i] || made.steps[i + 1] !== made.steps[i]));
    at = Math.max(at, end);
  });
  words[count - 1].append(letters.slice(at).join(""));
  by("text").replaceChildren(...words.map((p, step) => row(p, step, made)));
  by("title").textContent = `Sample ${made.index}: ${made.answer ? `answer ${made.answer}` : `no answer (${made.why})`}`;
  const unread = made.unread && ` · no traces: ${made.unread.replaceAll("_", " ")}`;
  const rejected = made.why && made.answer ? ` · ${made.why.replaceAll("_", " ")}` : "";
  by("facts").textContent = `${made.spans.length} tokens, ${made.ends.length} steps${made.cluster >= 0 ? ` · answer cluster ${made.cluster}` : ""}${rejected}${unread}`;
  drawSteps();
  colour();
  drawChart();
  choose(made.spans.length ? 0 : null, false);
}

// edge: the first or last of its step, where a line break is shown as a sign: the step ends its line anyway.
function tokenOf(text, i, edge) {
  const made = make("span", { class: "token", tabindex: -1, role: "button", "aria-pressed": false, "data-token": i }, edge ? text.replace(/\n+$/, "") : text);
  if (text.endsWith("\n")) made.classList.add("breaks");
  if (edge) made.classList.add("edge");
  if (!text) made.classList.add("part");
  return made;
}

function row(words, step, made) {
  const number = made.ends.length ? make("span", { class: "number", "aria-label": `step ${step + 1}` }, step + 1) : "";
  return make("div", { class: "step", "data-step": step }, number, make("div", { class: "body" }, make("div", { class: "roles" }), words), make("div", { class: "side" }));
}

function drawSteps() {
  const made = sample(), roles = rolesOf(made), chosen = data.sources.filter((s) => state.sources.has(s.name));
  for (const row of by("text").querySelectorAll(".step")) {
    const step = Number(row.dataset.step), role = roles[step] ? chip(roles[step]) : data.roles && made.ends.length ? make("span", { class: "quiet" }, "role –") : "";
    row.querySelector(".roles").replaceChildren(role);
    row.querySelector(".side").replaceChildren(...(made.ends.length ? scoresOf(made, step, chosen) : []));
  }
}

function colour() {
  const t = trace(state.trace), values = t ? sample().values[t.name] ?? [] : [];
  tokens().forEach((token, i) => {
    token.classList.toggle("missing", Boolean(t) && !known(values[i]));
    const heat = t && known(values[i]) ? Math.max(0, Math.min(1, t.high > t.low ? (values[i] - t.low) / (t.high - t.low) : 0.5)) : 0;
    token.style.setProperty("--heat", heat.toFixed(3));
  });
}

function drawChart() {
  const made = sample(), names = [...new Set([...THREE, ...(trace(state.trace) ? [state.trace] : [])])];
  const lanes = names.map((name) => ({ ...trace(name), values: made.values[name] ?? [], chosen: name === state.trace }));
  chart.draw(lanes, made.steps, rolesOf(made).map((role) => role && hue(role.role)), made.modes.map((mode) => hue(mode.role)));
  mark();
}

// ---- the token ----

function choose(token, focus = true) {
  tokens().forEach((other, i) => { other.tabIndex = i === (token ?? 0) ? 0 : -1; other.setAttribute("aria-pressed", i === token); });
  state.token = token;
  drawPanel();
  mark();
  const target = token === null ? null : tokens()[token];
  if (target && focus === "text") target.focus({ preventScroll: true });
  if (target && focus) target.scrollIntoView({ block: "nearest" });
}

function mark() {
  tokens().forEach((token, i) => token.classList.toggle("pointed", i === state.pointed));
  chart.mark(state.token, state.pointed);
}

function drawPanel() {
  const made = sample(), i = state.token;
  if (i === null) return by("panel").replaceChildren(make("p", { class: "quiet" }, "This sample has no tokens."));
  const letters = Array.from(made.text), [start, end] = made.spans[i], step = made.steps[i];
  const facts = data.traces.map((t) => {
    const value = made.values[t.name]?.[i];
    return [make("dt", {}, t.label), make("dd", { "data-value": t.name }, shown(value), ...(t.unit && known(value) ? [make("span", { class: "quiet" }, ` ${t.unit}`)] : []))];
  });
  const role = step === null ? null : rolesOf(made)[step];
  const about = step === null ? [] : [
    make("h3", {}, `step ${step + 1} of ${made.ends.length}`),
    ...(made.modes[i] ? [make("p", { class: "mode" }, chip(made.modes[i]), make("span", { class: "quiet" }, ` detected live, ${belief(made.modes[i].confidence)}`))] : []),
    ...(role ? roleFacts(role) : data.roles ? [make("p", { class: "quiet" }, "role –")] : []),
    make("div", { class: "scores" }, ...scoresOf(made, step, data.sources)),
  ];
  const word = visible(letters.slice(start, end).join(""));
  by("panel").replaceChildren(make("p", { class: "word" }, word), make("p", { class: "quiet place" }, `token ${i + 1} of ${made.spans.length}, characters ${start} to ${end}`),
    make("dl", {}, ...facts.flat()), ...about);
  const slider = { "aria-valuemin": 1, "aria-valuemax": made.spans.length, "aria-valuenow": i + 1, "aria-valuetext": `token ${i + 1}, ${word}: ${data.traces.map((t) => `${t.label} ${shown(made.values[t.name]?.[i])}`).join(", ")}` };
  for (const [name, value] of Object.entries(slider)) by("chart").setAttribute(name, value);
}

function roleFacts(role) {
  const typical = data.roles[role.role].typical.map((text) => make("li", {}, text.trim()));
  const more = make("details", {}, make("summary", {}, "typical of this role"), make("ul", { class: "quiet" }, ...typical));
  more.open = state.typical;
  more.addEventListener("toggle", () => { state.typical = more.open; });
  return [
    make("p", { class: "role" }, chip(role), make("span", { class: "quiet" }, ` role, confidence ${belief(role.confidence)}`)),
    more,
  ];
}

function walk(key) {
  const { steps } = sample(), last = steps.length - 1, i = state.token ?? 0;
  const step = (by) => { const wanted = (steps[i] ?? 0) + by, to = steps.indexOf(wanted); return to < 0 ? i : to; };
  const moves = { ArrowRight: i + 1, ArrowLeft: i - 1, ArrowDown: step(1), ArrowUp: step(-1), Home: 0, End: last };
  return key in moves && last >= 0 ? Math.max(0, Math.min(last, moves[key])) : null;
}

for (const id of ["text", "chart"])
  by(id).addEventListener("keydown", (event) => {
    const token = event.ctrlKey || event.altKey || event.metaKey ? null : walk(event.key);
    if (token === null) return;
    event.preventDefault();
    choose(token, id);
  });
const tokenAt = (event) => { const found = event.target.closest?.(".token"); return found ? Number(found.dataset.token) : null; };
for (const kind of ["click", "focusin"]) by("text").addEventListener(kind, (event) => { const token = tokenAt(event); if (token !== null) choose(token, false); });
by("text").addEventListener("pointerover", (event) => { state.pointed = tokenAt(event); mark(); });
by("text").addEventListener("pointerleave", () => { state.pointed = null; mark(); });

// ---- the rest ----

function pick(i) {
  state.sample = i;
  state.pointed = null;
  drawText();
}

function theme(wanted) {
  const dark = wanted ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  if (wanted) document.documentElement.dataset.theme = wanted;
  by("theme").value = dark === "dark" ? "light" : "dark";
  by("theme").textContent = `${by("theme").value} colours`;
}
by("theme").addEventListener("click", () => theme(by("theme").value));

by("where").textContent = `${data.run} · ${data.id}`;
by("problem").textContent = data.text.trim();
by("about").textContent = [`Read by ${data.model}, layer ${data.layer}, RPI over ${data.window} states, behind ${JSON.stringify(data.template)}.`,
  "Colours run from the 5th to the 95th percentile over all samples of this problem.",
  ...(data.roles ? ["Above the chart: the steps' roles, and in the thin strip what the detector says live."] : []), ...data.notes].join(" ");
theme();
drawPicker();
drawButtons();
drawSources();
drawText();
new ResizeObserver(drawChart).observe(by("chart").parentElement);
