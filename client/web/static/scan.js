// The page of one scan: its controls and keys. Everything else on it works without this file.

import { fetched } from "./fetched.js";

const box = document.getElementById("viewer");
const told = box ? JSON.parse(box.dataset.viewer) : {};
const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
let viewer = null;
let error = null;

function fail(text) {
  error = text;
  box.dataset.error = text;
  one("#viewer-error").textContent = text;
  one(".instead").hidden = false;
  one(".stage").hidden = true;
  one(".viewer-tools").hidden = true;
  one("#where").hidden = true;
  all("[data-legend]").forEach((legend) => { legend.hidden = true; });
  const frame = one(".instead iframe");
  if (frame && !frame.src) frame.src = frame.dataset.src;
}

const WORDS = [["left", "right"], ["posterior", "anterior"], ["inferior", "superior"]];

function place({ mm, values }, slice) {
  const at = WORDS.map((words, axis) => `${Math.abs(mm[axis]).toFixed(0)} mm ${words[mm[axis] >= 0 ? 1 : 0]}`).join(", ");
  const value = values?.[0]?.value;
  const number = slice === null ? "" : `Axial slice ${slice} of 0–${told.slices - 1} · `;
  one("#where").textContent = `${number}${at}${value === undefined ? "" : ` · value ${Number(value.toPrecision(5))}`}`;
}

function press(buttons, chosen) {
  for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
}

async function overlay(kind) {
  const button = one(`button[data-overlay="${kind}"]`);
  if (!button) return;
  press(all("button[data-overlay]"), button);
  all("[data-legend]").forEach((legend) => { legend.hidden = legend.dataset.legend !== kind; });
  try {
    await viewer.overlay(kind);
    box.dataset.overlay = kind;
  } catch (problem) {
    fail(problem.message);
  }
}

function opacity(percent) {
  const slider = one("#opacity");
  slider.value = percent;
  one("#opacity-value").textContent = `${slider.value} %`;
  viewer.opacity(slider.value / 100);
}

function find(number) {
  if (!viewer.find(number)) return;
  all("[data-finding]").forEach((row) => row.toggleAttribute("data-chosen", Number(row.dataset.finding) === number));
  one("#shown").textContent = `Finding ${number} is shown.`;
}

function controls() {
  for (const button of all("[data-layout]")) button.addEventListener("click", () => {
    press(all("[data-layout]"), button);
    viewer.layout(button.dataset.layout);
  });
  for (const button of all("button[data-overlay]")) button.addEventListener("click", () => overlay(button.dataset.overlay));
  for (const button of all("[data-step]")) button.addEventListener("click", () => viewer.step(Number(button.dataset.step)));
  for (const button of all("[data-jump]")) button.addEventListener("click", () => find(Number(button.dataset.jump)));
  one("[data-reset]").addEventListener("click", () => viewer.reset());
  one("#opacity").addEventListener("input", (event) => opacity(event.target.value));
  one("#window").addEventListener("change", (event) => viewer.window(event.target.value));
  one("#channel")?.addEventListener("change", async (event) => {
    try {
      await viewer.channel(Number(event.target.value));
      one("#window").value = "robust";
      await drawn();
      box.dataset.channel = event.target.value;
    } catch (problem) {
      fail(problem.message);
    }
  });
  if (!viewer.isCt) one("[data-ct]").disabled = true;
}

const drawn = () => new Promise((done) => { requestAnimationFrame(() => requestAnimationFrame(done)); });

// As NiiVue will ask for it: the first to ask decides, and the GPU begins while NiiVue is still being read.
const canDraw = (canvas) => canvas.getContext("webgl2", { alpha: true, antialias: navigator.hardwareConcurrency > 6 }) !== null;

async function start() {
  if (box.dataset.error) return fail(box.dataset.error);
  const canvas = one("#canvas");
  const first = told.overlays.mask ? "mask" : "none";
  const volumes = Promise.all([fetched(told.image), first === "none" ? null : fetched(told.overlays[first])]);
  volumes.catch(() => {}); // told below, where they are waited for
  if (!canDraw(canvas)) return fail("This browser cannot draw volumes: WebGL 2 is missing or switched off. Switch on hardware acceleration, or use another browser.");
  try {
    const { Viewer } = await import("./viewer.js");
    viewer = new Viewer(told, place);
    addEventListener("pagehide", () => viewer.close());
    await viewer.open(canvas, first, volumes);
  } catch (problem) {
    return fail(problem.message);
  }
  one("#loading").remove();
  one(".viewer-tools").hidden = false;
  controls();
  await drawn();
  box.dataset.overlay = first;
  box.dataset.ready = "true";
}

// What a key does while the pictures are shown.
function turned(key) {
  const inside = one(".stage").contains(document.activeElement);
  const steps = { ArrowLeft: -1, ArrowRight: 1, ...(inside ? { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 } : {}) };
  const kinds = { m: "mask", p: "probability", a: "attribution", o: "none" };
  if (key in steps) viewer.step(steps[key]);
  else if (key in kinds) overlay(kinds[key]);
  else if (/^[1-9]$/.test(key)) find(Number(key));
  else if (key === "[" || key === "]") opacity(Number(one("#opacity").value) + (key === "[" ? -10 : 10));
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
  const target = one(`[data-key="${CSS.escape(event.key)}"]`);
  if (target) {
    if (target instanceof HTMLFormElement) target.requestSubmit();
    else target.click();
  } else if (!box?.dataset.ready || error || !turned(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
}, { capture: true });

one("#print")?.addEventListener("click", (event) => {
  event.preventDefault();
  const frame = document.createElement("iframe");
  frame.className = "hidden";
  frame.title = "The page to print";
  frame.addEventListener("load", () => frame.contentWindow.print());
  frame.src = event.currentTarget.href;
  document.body.append(frame);
}, { once: false });

if (box) start();
