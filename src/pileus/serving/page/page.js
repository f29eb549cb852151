// The page's behaviour: draw or choose a picture, ask the API that everyone uses, show what came back.
// No build step and nothing from elsewhere: what is here is what runs.

const UNITS = 1000; // a drawing's coordinates are in [0, UNITS], whatever the size of the canvas
const CLOSEST = 2; // units: points nearer to the one before them add no ink
const MOST_POINTS = 9000; // the server refuses drawings of more than 10,000
const MOST_PAST = 60;
const MOST_BARS = 12;
const PEN = 0.055; // of the canvas
const PATIENCE_MS = 20_000;
const ASK_STATE_MS = 5_000;

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");

let strokes = []; // each a list of [x, y, milliseconds]
let began = 0;
let pointer = null; // the id of the one pointer that draws
let picture = null; // {blob, bitmap} in place of a drawing
let kind = "drawing";
let asking = false;

// Drawing

function theme(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function fitCanvas(target) {
  const size = Math.max(1, Math.round(target.clientWidth * devicePixelRatio));
  if (target.width !== size) target.width = target.height = size;
  return size;
}

function drawStrokes(target, lines) {
  const size = fitCanvas(target);
  const pen = target.getContext("2d");
  pen.setTransform(size / UNITS, 0, 0, size / UNITS, 0, 0);
  pen.clearRect(0, 0, UNITS, UNITS);
  pen.strokeStyle = pen.fillStyle = theme("--ink");
  pen.lineWidth = PEN * UNITS;
  pen.lineCap = pen.lineJoin = "round";
  for (const line of lines) {
    pen.beginPath();
    if (line.length === 1) {
      pen.arc(line[0][0], line[0][1], pen.lineWidth / 2, 0, 2 * Math.PI);
      pen.fill();
      continue;
    }
    pen.moveTo(line[0][0], line[0][1]);
    for (let i = 1; i < line.length; i++) {
      const [x, y] = line[i];
      const [nextX, nextY] = line[Math.min(i + 1, line.length - 1)];
      pen.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
    }
    pen.stroke();
  }
}

function drawPicture(target, bitmap) {
  const size = fitCanvas(target);
  const pen = target.getContext("2d");
  const scale = Math.min(size / bitmap.width, size / bitmap.height);
  const [width, height] = [bitmap.width * scale, bitmap.height * scale];
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.clearRect(0, 0, size, size);
  pen.imageSmoothingQuality = "high";
  pen.drawImage(bitmap, (size - width) / 2, (size - height) / 2, width, height);
}

function redraw() {
  if (kind === "drawing") picture ? drawPicture(canvas, picture.bitmap) : drawStrokes(canvas, strokes);
  for (const thumbnail of $("history").querySelectorAll("canvas")) thumbnail.redraw();
  enableButtons();
}

function enableButtons() {
  const empty = strokes.length === 0 && !picture;
  $("predict").disabled = empty || asking;
  $("clear-canvas").disabled = empty;
  $("undo").disabled = strokes.length === 0;
  $("clear-predictions").disabled = $("history").childElementCount === 0;
}

function isFull() {
  return strokes.reduce((sum, line) => sum + line.length, 0) >= MOST_POINTS;
}

function addPoint(event) {
  const frame = canvas.getBoundingClientRect();
  const x = ((event.clientX - frame.left) / frame.width) * UNITS;
  const y = ((event.clientY - frame.top) / frame.height) * UNITS;
  const line = strokes.at(-1);
  const last = line.at(-1);
  if (last && Math.hypot(x - last[0], y - last[1]) < CLOSEST) return;
  if (isFull()) return;
  const round = (value) => Math.round(value * 10) / 10;
  line.push([round(x), round(y), Math.max(0, Math.round(event.timeStamp - began))]);
}

function startStroke(event) {
  if (pointer !== null || event.button !== 0 || isFull()) return;
  event.preventDefault();
  canvas.focus({ preventScroll: true });
  if (picture) setPicture(null);
  if (strokes.length === 0) began = event.timeStamp;
  pointer = event.pointerId;
  canvas.setPointerCapture(pointer);
  strokes.push([]);
  addPoint(event);
  redraw();
}

function goOn(event) {
  if (event.pointerId !== pointer) return;
  const finer = event.getCoalescedEvents?.() ?? [];
  for (const part of finer.length ? finer : [event]) addPoint(part);
  drawStrokes(canvas, strokes);
}

function endStroke(event) {
  if (event.pointerId !== pointer) return;
  if (event.type === "pointerup") addPoint(event);
  pointer = null;
  redraw();
}

function undo() {
  strokes.pop();
  pointer = null;
  redraw();
}

function clearCanvas() {
  strokes = [];
  pointer = null;
  setPicture(null);
  redraw();
}

// Pictures

function setPicture(chosen) {
  picture = chosen;
  if (kind === "picture") {
    URL.revokeObjectURL($("preview").src);
    if (chosen) $("preview").src = URL.createObjectURL(chosen.blob);
    $("preview").hidden = !chosen;
    $("drop-text").hidden = Boolean(chosen);
  }
  $("photo").value = "";
}

async function choosePicture(file) {
  if (!file) return;
  try {
    if (!["image/png", "image/jpeg"].includes(file.type)) throw new Error("type");
    const bitmap = await createImageBitmap(file);
    strokes = [];
    setPicture({ blob: file, bitmap });
    redraw();
    await predict();
  } catch {
    showProblem(`“${file.name}” is not a PNG or JPEG picture that can be read.`);
  }
}

// Asking

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key ? { Authorization: `Bearer ${key}` } : {}) };
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
  $("key-form").hidden = response.status !== 401;
  return response;
}

async function predict() {
  if (asking || $("predict").disabled) return;
  asking = true;
  enableButtons();
  document.body.classList.add("asking");
  const asked = { strokes: strokes.map((line) => [...line]), picture };
  const request = picture
    ? { body: picture.blob, headers: { "Content-Type": picture.blob.type } }
    : { body: JSON.stringify({ strokes }), headers: { "Content-Type": "application/json" } };
  const start = performance.now();
  try {
    const response = await ask("/v1/predict", { method: "POST", ...request });
    const answer = await response.json();
    if (response.ok) {
      showAnswer(answer, performance.now() - start, asked);
    } else {
      showProblem(plainly(answer));
    }
  } catch (error) {
    const late = error.name === "TimeoutError";
    showProblem(late ? "The server took too long; try again." : "The server cannot be reached. Is it still running?");
    if (!late) showState("away", "not reached");
  } finally {
    asking = false;
    document.body.classList.remove("asking");
    enableButtons();
  }
}

function plainly(problem) {
  const words = {
    401: "This server asks for a key.",
    429: "The server is busy; try again in a moment.",
    503: "The server is not ready yet; try again in a moment.",
    504: "The server could not answer in time; try again.",
  };
  const detail = String(problem.detail ?? "The server gave no reason.");
  return words[problem.status] ?? detail.charAt(0).toUpperCase() + detail.slice(1);
}

// Showing

const percent = (share) => `${(share * 100).toFixed(1)}%`;

function showAnswer(answer, milliseconds, asked) {
  const item = answer.items[0];
  const text = item.verdict === "rejected" ? "?" : answer.text;
  $("problem").hidden = true;
  $("outcome").dataset.verdict = item.verdict;
  $("answer").textContent = text;
  $("answer").className = text.length > 2 ? "word" : "";
  $("confidence").textContent =
    item.verdict === "rejected" ? "None of the classes" : `${percent(item.confidence)} confident`;
  $("verdict").textContent = item.verdict;
  $("verdict").hidden = false;
  $("latency").textContent = `answered in ${milliseconds.toFixed(0)} ms`;
  showBars(item.probabilities);
  remember(text, item, milliseconds, asked);
}

function showBars(probabilities) {
  let shown = Object.entries(probabilities);
  const best = Math.max(...shown.map(([, share]) => share));
  if (shown.length > MOST_BARS) shown = shown.sort((a, b) => b[1] - a[1]).slice(0, MOST_BARS);
  $("bars").replaceChildren(
    ...shown.map(([name, share]) => {
      const fill = part("div", "fill");
      fill.style.setProperty("--share", `${share * 100}%`);
      const track = part("div", "track");
      track.append(fill);
      const row = part("li", share === best ? "best" : "");
      row.append(part("span", "class", name), track, part("span", "percent", percent(share)));
      return row;
    }),
  );
}

function part(tag, name, text = "") {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function remember(text, item, milliseconds, asked) {
  const thumbnail = document.createElement("canvas");
  thumbnail.redraw = () =>
    asked.picture ? drawPicture(thumbnail, asked.picture.bitmap) : drawStrokes(thumbnail, asked.strokes);
  const words = part("div", "text");
  words.append(
    part("span", "label", text),
    part("span", "detail", item.verdict),
    part("span", "detail", `${percent(item.confidence)} · ${milliseconds.toFixed(0)} ms`),
  );
  const row = part("li", "");
  row.append(thumbnail, words);
  $("history").prepend(row);
  while ($("history").childElementCount > MOST_PAST) $("history").lastElementChild.remove();
  $("no-history").hidden = true;
  thumbnail.redraw();
}

function clearPredictions() {
  $("history").replaceChildren();
  $("no-history").hidden = false;
  $("bars").replaceChildren();
  $("outcome").dataset.verdict = "none";
  $("answer").textContent = "–";
  $("answer").className = "empty";
  $("confidence").textContent = "No answer yet";
  $("latency").textContent = "";
  $("verdict").hidden = $("problem").hidden = true;
  enableButtons();
}

function showProblem(text) {
  $("problem").textContent = text;
  $("problem").hidden = false;
}

function showState(state, text) {
  if ($("status").textContent !== text) $("status").textContent = text;
  $("status").dataset.state = state;
}

async function watchState() {
  try {
    const response = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(ASK_STATE_MS) });
    showState(response.ok ? "ready" : "waiting", response.ok ? "ready" : "not ready");
    if (response.ok && !$("model").dataset.known) await showModel();
  } catch {
    showState("away", "not reached");
  }
}

async function showModel() {
  const response = await ask("/v1/models");
  if (!response.ok) return;
  const [model] = (await response.json()).models;
  $("model").dataset.known = "yes";
  $("model").textContent = `${model.name} · ${model.version.slice(0, 8)} · ${model.classes.length} classes`;
  $("model").title = `${model.name}@${model.version}`;
  document.title = `Pileus · ${model.name}`;
  kind = model.input.kind;
  if (kind === "picture") {
    canvas.hidden = $("undo").hidden = true;
    $("drop").hidden = false;
    $("input-title").textContent = "Picture";
    $("clear-canvas").textContent = "Clear picture";
    $("choose").textContent = "Choose picture…";
    $("hint").textContent = `One of: ${model.classes.slice(0, 20).join(", ")}. PNG or JPEG.`;
  }
  redraw();
}

// Wiring

canvas.addEventListener("pointerdown", startStroke);
canvas.addEventListener("pointermove", goOn);
canvas.addEventListener("pointerup", endStroke);
canvas.addEventListener("pointercancel", endStroke);
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter") predict();
  if (event.key === "Escape") clearCanvas();
});
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && event.target.tagName !== "INPUT") {
    event.preventDefault();
    if (strokes.length) undo();
  }
});
$("predict").addEventListener("click", predict);
$("undo").addEventListener("click", undo);
$("clear-canvas").addEventListener("click", clearCanvas);
$("clear-predictions").addEventListener("click", clearPredictions);
$("choose").addEventListener("click", () => $("photo").click());
$("photo").addEventListener("change", (event) => choosePicture(event.target.files[0]));
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value);
  $("key").value = "";
  $("key-form").hidden = $("problem").hidden = true;
  showModel();
});
for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
  $("sheet").addEventListener(name, (event) => {
    event.preventDefault();
    $("sheet").classList.toggle("dropping", name === "dragenter" || name === "dragover");
    if (name === "drop") choosePicture(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (file) choosePicture(file);
});
new ResizeObserver(redraw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

redraw();
watchState();
setInterval(() => document.hidden || watchState(), ASK_STATE_MS);
