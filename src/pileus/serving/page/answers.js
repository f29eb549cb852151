// What came back: the text, how sure it is in words, each digit's bars, and its box over the drawing.

import { $, element, percent } from "./elements.js";

const MOST_BARS = 12;
const QUIET_MS = 600; // before an answer is spoken, so that a live drawing does not chatter

let selected = 0;
let speaking = 0;

export const selectedItem = () => selected;

// "?" for what was rejected.
export const textOf = ({ items }) => items.map(({ label }) => label ?? "?").join(items.some(isLong) ? " " : "");

const isLong = ({ label }) => (label ?? "").length > 1;

export function verdictOf({ items }) {
  const isAll = (verdict) => items.every((item) => item.verdict === verdict);
  return ["rejected", "certain"].find(isAll) ?? "unsure";
}

// `size` is [width, height] of what was asked about, in the units of its boxes.
export function showAnswer(answer, size) {
  const text = textOf(answer);
  $("problem").hidden = true;
  $("outcome").dataset.verdict = verdictOf(answer);
  $("answer").textContent = text;
  $("answer").className = text.length > 4 ? "word" : text.length > 1 ? "several" : "";
  const ofWhat = verdictOf(answer) === "rejected" ? "for the likeliest" : "confident";
  $("confidence").textContent = `${percent(answer.confidence)} ${ofWhat}`;
  $("verdict").textContent = inWords(answer);
  $("verdict").hidden = false;
  $("latency").textContent = latency(answer);
  $("here").hidden = !answer.isLocal;
  $("here").textContent = "The server is away: the same model answered in this browser.";
  showItems(answer);
  showBoxes(answer, size);
  speak(`${text}. ${inWords(answer)}, ${percent(answer.confidence)}.`);
}

export function showNothing() {
  $("outcome").dataset.verdict = "none";
  $("answer").textContent = "–";
  $("answer").className = "empty";
  $("confidence").textContent = "No answer yet";
  $("latency").textContent = "Draw something: the answer appears here.";
  $("verdict").hidden = $("problem").hidden = $("here").hidden = $("items").hidden = true;
  for (const id of ["items", "bars", "boxes"]) $(id).replaceChildren();
  selected = 0;
}

export function hideBoxes() {
  $("boxes").replaceChildren();
}

export function showProblem(text) {
  $("problem").textContent = text;
  $("problem").hidden = false;
}

function inWords({ items }) {
  const kind = items.every(({ probabilities }) => Object.keys(probabilities).every((name) => /^\d$/.test(name)))
    ? "a digit"
    : "one of the classes";
  const rejected = items.filter(({ verdict }) => verdict === "rejected").length;
  if (rejected === items.length) return items.length > 1 ? `none is ${kind}` : `not ${kind}`;
  if (rejected > 0) return `${rejected} of ${items.length} not ${kind}`;
  const unsure = items.filter(({ verdict }) => verdict === "unsure");
  if (unsure.length === 0) return "certain";
  return items.length > 1 ? `unsure of ${unsure.map(({ label }) => label).join(", ")}` : `unsure: ${rivals(unsure[0])}`;
}

function rivals({ label, probabilities }) {
  const [second] = ranked(probabilities).filter(([name]) => name !== label);
  return `perhaps ${second[0]}`;
}

const ranked = (probabilities) => Object.entries(probabilities).sort((a, b) => b[1] - a[1]);

function latency({ milliseconds, serverMs, isLocal }) {
  const whole = `in ${milliseconds.toFixed(0)} ms`;
  if (isLocal) return `${whole}, here`;
  return serverMs === null ? whole : `${whole}, ${serverMs.toFixed(1)} ms of it in the server`;
}

function showItems({ items }) {
  $("items").hidden = items.length < 2;
  $("items").replaceChildren(
    ...items.map(({ label, confidence, verdict }, i) => {
      const button = element("button", "item");
      button.type = "button";
      button.dataset.verdict = verdict;
      button.append(element("b", "", label ?? "?"), element("span", "", percent(confidence)));
      button.addEventListener("click", () => select(items, i));
      return button;
    }),
  );
  select(items, Math.min(selected, items.length - 1));
}

function select(items, chosen) {
  selected = chosen;
  [...$("items").children].forEach((button, i) => button.setAttribute("aria-pressed", String(i === chosen)));
  [...$("boxes").children].forEach((box, i) => box.classList.toggle("chosen", i === chosen));
  showBars(items[chosen].probabilities);
}

function showBars(probabilities) {
  const names = Object.keys(probabilities);
  const [[best]] = ranked(probabilities);
  const shown = names.length > MOST_BARS ? ranked(probabilities).slice(0, MOST_BARS).map(([name]) => name) : names;
  const rows = [...$("bars").children];
  const isSame = rows.length === shown.length && rows.every((row, i) => row.dataset.name === shown[i]);
  if (!isSame) $("bars").replaceChildren(...shown.map(bar)); // else they move to their new lengths
  shown.forEach((name, i) => {
    const row = $("bars").children[i];
    row.className = name === best ? "best" : "";
    row.querySelector(".fill").style.setProperty("--share", `${probabilities[name] * 100}%`);
    row.querySelector(".percent").textContent = percent(probabilities[name]);
  });
}

function bar(name) {
  const row = element("li");
  row.dataset.name = name;
  const track = element("div", "track");
  track.append(element("div", "fill"));
  row.append(element("span", "class", name), track, element("span", "percent"));
  return row;
}

function showBoxes({ items }, [width, height]) {
  $("boxes").replaceChildren(
    ...(items.length < 2 ? [] : items).map(({ box: [x, y, boxWidth, boxHeight], label, verdict }, i) => {
      const frame = element("div", i === selected ? "box chosen" : "box");
      frame.dataset.verdict = verdict;
      const shares = { x: x / width, y: y / height, width: boxWidth / width, height: boxHeight / height };
      for (const [name, share] of Object.entries(shares)) frame.style.setProperty(`--${name}`, `${share * 100}%`);
      frame.append(element("span", "", label ?? "?"));
      return frame;
    }),
  );
}

function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => ($("spoken").textContent = text), QUIET_MS);
}
