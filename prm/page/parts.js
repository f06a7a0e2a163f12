"use strict";
// What every part of the page is drawn with. `data` is what data.py made.

const data = JSON.parse(document.getElementById("data").textContent);

function make(tag, attributes = {}, ...inside) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

function bar(value) {
  const made = make("span", { class: known(value) ? "bar" : "bar none" }, make("i"), make("span", { class: "num" }, belief(value)));
  if (known(value)) made.style.setProperty("--value", `${value * 100}%`);
  return made;
}

function chip(role) {
  const made = make("span", { class: "chip", title: `confidence ${belief(role.confidence)}` }, data.roles[role.role].name);
  made.style.setProperty("--hue", hue(role.role));
  return made;
}

const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "↵").replaceAll("\t", "⇥") || "(part of a character)";
const hue = (role) => Math.round((role * 137.5 + 250) % 360); // neighbours far apart
const sourceTitle = (source) => `${source.kind === "scores" ? "PRM" : source.kind.replace(/s$/, "")} ${source.label}`;

function known(value) {
  return value !== null && value !== undefined;
}

// A trace's value: "–" for none, never 0.
function shown(value) {
  if (!known(value)) return "–";
  const size = Math.abs(value);
  if (size && size < 0.0005) return value < 0 ? ">−0.001" : "<0.001";
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3).replace("-", "−");
}

// A belief in [0, 1]: ".61", "1.00", "–".
function belief(value) {
  return known(value) ? value.toFixed(2).replace(/^0/, "") : "–";
}
