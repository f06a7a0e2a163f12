// The traces of one sample over its tokens: a lane a trace, boundaries as vertical lines, one place in it shared with the text.

const SVG = "http://www.w3.org/2000/svg";
const LANE = 42, GAP = 20, TOP = 44, LEFT = 64, RIGHT = 6;
const EDGE = 18; // pixels that a step's number needs

function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// host: the <svg>. choose(token) and point(token or null) are called with what the reader clicks and hovers.
function makeChart(host, choose, point) {
  let x = null, tokens = 0, lanes = [];
  const at = (event) => {
    const inside = (event.clientX - host.getBoundingClientRect().left - LEFT) / (host.clientWidth - LEFT - RIGHT);
    return Math.max(0, Math.min(tokens - 1, Math.floor(inside * tokens)));
  };
  host.addEventListener("click", (event) => tokens && choose(at(event)));
  host.addEventListener("pointermove", (event) => tokens && point(at(event)));
  host.addEventListener("pointerleave", () => point(null));

  // traces: [{label, least, most, values, chosen}]; steps: the step of each token; hues: a step's role as a hue, or null; modes: each token's, or none
  function draw(traces, steps, hues, modes) {
    tokens = steps.length;
    const width = host.clientWidth, height = TOP + traces.length * (LANE + GAP) - GAP + 2;
    if (width <= LEFT + RIGHT) return; // not laid out yet: a later size draws it
    host.setAttribute("viewBox", `0 0 ${width} ${height}`);
    host.style.height = `${height}px`;
    x = (token) => LEFT + (token * (width - LEFT - RIGHT)) / Math.max(tokens, 1); // the token's left edge
    lanes = traces.map((trace, i) => lane(trace, TOP + i * (LANE + GAP)));
    host.replaceChildren(...edges(steps, hues, height), ...modes.map(mode), ...lanes.flatMap((l) => l.parts), shape("g", { id: "marks" }));
  }

  function lane(trace, top) {
    const { least, most, values } = trace;
    const y = (value) => top + (most > least ? Math.max(0, Math.min(1, (most - value) / (most - least))) * LANE : LANE / 2);
    const centre = (i) => (x(i) + x(i + 1)) / 2;
    const parts = [
      shape("text", { class: trace.chosen ? "name chosen" : "name", x: LEFT, y: top - 5 }, trace.label),
      shape("line", { class: "base", x1: LEFT, x2: x(tokens), y1: top + LANE, y2: top + LANE }),
    ];
    if (least === null) return { y, centre, values: [], parts: [...parts, shape("text", { x: LEFT, y: top + 26 }, "–")] };
    parts.push(shape("text", { class: "tick", x: LEFT - 6, y: top + 9 }, `≥ ${shown(most)}`));
    parts.push(shape("text", { class: "tick", x: LEFT - 6, y: top + LANE }, `≤ ${shown(least)}`));
    for (const run of runs(values)) {
      const points = run.map((i) => `${centre(i).toFixed(1)},${y(values[i]).toFixed(1)}`);
      const kind = trace.chosen ? "trace chosen" : "trace";
      if (run.length > 1) parts.push(shape("polyline", { class: kind, points: points.join(" ") }));
      else parts.push(shape("circle", { class: kind, cx: centre(run[0]), cy: y(values[run[0]]), r: 2 }));
    }
    return { y, centre, values, parts };
  }

  // What the detector says at a token: a thin strip below the roles' own.
  function mode(hue, i) {
    const made = shape("rect", { class: "strip", x: x(i), y: 7, width: x(i + 1) - x(i) + 0.3, height: 3 });
    made.style.setProperty("--hue", hue);
    return made;
  }

  function edges(steps, hues, height) {
    const made = [], starts = [];
    steps.forEach((step, i) => step !== null && step !== steps[i - 1] && starts.push(i));
    let last = -EDGE;
    starts.forEach((start, n) => {
      const left = x(start), right = x(n + 1 < starts.length ? starts[n + 1] : tokens), step = steps[start];
      const strip = shape("rect", { class: "strip", x: left + 0.5, y: 0, width: Math.max(right - left - 1, 0.5), height: 5, rx: 2 });
      if (hues[step] !== null) strip.style.setProperty("--hue", hues[step]);
      else strip.classList.add("plain");
      made.push(strip, shape("line", { class: "edge", x1: left, x2: left, y1: 0, y2: height - 2 }));
      if (left - last >= EDGE) {
        made.push(shape("text", { class: "count", x: left + 3, y: 21 }, step + 1));
        last = left;
      }
    });
    return made;
  }

  // chosen, pointed: tokens or null
  function mark(chosen, pointed) {
    const group = host.querySelector("#marks");
    if (!group) return;
    const made = [];
    for (const [token, kind] of [[pointed, "pointed"], [chosen, "chosen"]]) {
      if (token === null || !lanes.length) continue;
      const middle = lanes[0].centre(token);
      made.push(shape("line", { class: `cursor ${kind}`, x1: middle, x2: middle, y1: 5, y2: TOP + lanes.length * (LANE + GAP) - GAP }));
      for (const { y, values } of lanes)
        if (known(values[token])) made.push(shape("circle", { class: `dot ${kind}`, cx: middle, cy: y(values[token]), r: 3.5 }));
    }
    group.replaceChildren(...made);
  }

  return { draw, mark };
}

// The stretches of tokens that have a value: a line is not drawn across what is not defined.
function runs(values) {
  const found = [];
  values.forEach((value, i) => {
    if (!known(value)) return;
    if (i && known(values[i - 1])) found.at(-1).push(i);
    else found.push([i]);
  });
  return found;
}
