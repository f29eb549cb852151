// The page: what lies on the sheet, who is asked about it, and what is shown of the answer.

import * as answers from "./answers.js";
import { Drawing, HEIGHT, WIDTH } from "./drawing.js";
import { $ } from "./elements.js";
import { allowFeedback, offerFeedback, setUpFeedback } from "./feedback.js";
import { History } from "./history.js";
import { drawCursor, drawStrokes } from "./ink.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import * as spare from "./offline/spare.js";
import { readPhoto, setUpPhotos, showPhoto } from "./photo.js";
import { Pointers } from "./pointers.js";
import { Away, Refused, key, predict } from "./server.js";
import { State } from "./state.js";
import { setUpTheme } from "./theme.js";

const canvas = $("canvas");
const drawing = new Drawing();
const host = { canvas, drawing, isErasing: () => isPressed("eraser"), began, changed, redraw, ended: drawn };
const keys = new Keys(host);
const pointers = new Pointers(host);
const live = new Live((signal) => drawing.isEmpty || answer(signal));
const history = new History(recall);
const state = new State(fitModel);

let frame = 0; // that a redrawing waits for
let photo = null;
let asking = null; // the AbortController of a question that a person asked
let newest = null; // the signal of the question that was asked last: an answer to an older one is not shown

const isPressed = (id) => $(id).getAttribute("aria-pressed") === "true";

// Drawing

function redraw() {
  cancelAnimationFrame(frame);
  frame = 0;
  drawStrokes(canvas, drawing.strokes);
  if (keys.cursor) drawCursor(canvas, keys.cursor, keys.isDown);
  const isEmpty = drawing.isEmpty && !photo;
  $("predict").disabled = isEmpty;
  $("clear-canvas").disabled = isEmpty;
  $("undo").disabled = !drawing.canUndo;
  $("redo").disabled = !drawing.canRedo;
}

// With the next frame: a pointer moves more often than the screen shows.
function redrawSoon() {
  frame ||= requestAnimationFrame(redraw);
}

function began(event) {
  if (event.type === "pointerdown" && keys.cursor) keys.hide();
  if (photo) setPhoto(null);
  live.stop();
  answers.hideBoxes();
}

function changed() {
  live.changed();
  redrawSoon();
}

// A step of the drawing has ended, or was walked back.
function drawn() {
  answers.hideBoxes();
  if (drawing.isEmpty) history.close();
  live.changed();
  redraw();
}

function walk(step) {
  pointers.drop();
  if (photo) setPhoto(null);
  drawing[step]();
  drawn();
}

function clearCanvas() {
  pointers.drop();
  live.stop();
  asking?.abort();
  setPhoto(null);
  drawing.replace([]);
  drawn();
  canvas.focus({ preventScroll: true });
}

function choose(tool) {
  for (const id of ["pen", "eraser"]) $(id).setAttribute("aria-pressed", String(id === tool));
  canvas.classList.toggle("erasing", tool === "eraser");
}

// Pictures

function setPhoto(chosen) {
  if (photo !== chosen) history.close();
  photo = chosen;
  showPhoto(chosen);
}

async function photoChosen(blob) {
  try {
    const chosen = await readPhoto(blob);
    live.stop();
    drawing.replace([]);
    answers.hideBoxes();
    setPhoto(chosen);
    redraw();
    await predictNow();
  } catch (error) {
    answers.showProblem(error.message);
  }
}

// Asking

async function predictNow() {
  if ($("predict").disabled) return;
  live.stop();
  asking?.abort();
  asking = new AbortController();
  await answer(asking.signal, false);
}

async function answer(signal, isLive = true) {
  const asked = photo ? { photo, size: photo.size } : { strokes: drawing.copy(), size: [WIDTH, HEIGHT] };
  newest = signal;
  document.body.classList.add("asking");
  const isWanted = () => newest === signal && !signal.aborted;
  const start = performance.now();
  try {
    const given = await answered(asked, signal);
    if (isWanted()) show(asked, { ...given, milliseconds: performance.now() - start }, isLive);
  } catch (error) {
    if (isWanted()) failed(error, isLive);
  } finally {
    if (newest === signal) document.body.classList.remove("asking");
  }
}

// By the server; by the same model in this browser when the server is away.
async function answered({ photo: picture, strokes }, signal) {
  const canStandIn = !picture && spare.isReady();
  if (state.isAway && canStandIn) return spare.answer(strokes);
  try {
    const points = strokes?.map((stroke) => stroke.map(([x, y, time]) => [x, y, time]));
    const given = await predict({ blob: picture?.blob, strokes: points }, signal);
    if (state.name !== "ready") state.look();
    state.answeredBy(given.model);
    return given;
  } catch (error) {
    if (error instanceof Away) state.show("away");
    const isGone = error instanceof Away || [502, 503, 504].includes(error.status);
    if (isGone && canStandIn && !signal.aborted) return spare.answer(strokes);
    throw error;
  }
}

function show(asked, given, isLive) {
  answers.showAnswer(given, asked.size);
  offerFeedback(given);
  history.add(asked, given, isLive);
}

function failed(error, isLive) {
  if (!(error instanceof Refused || error instanceof Away)) throw error;
  if (error.status === 401) $("key-form").hidden = false;
  if (isLive && error.status === 429) return; // the next pause asks again
  answers.showProblem(error.message);
}

function recall(asked, given) {
  live.stop();
  setPhoto(asked.photo ?? null);
  drawing.replace(asked.strokes ?? []);
  redraw();
  answers.showAnswer(given, asked.size);
  offerFeedback(given);
}

// The model

function fitModel({ classes, none, several, input, feedback }) {
  allowFeedback(feedback, { "none of these": none, "more than one": several });
  $("key-form").hidden = true;
  const isPicture = input.kind === "picture";
  canvas.hidden = $("undo").hidden = $("redo").hidden = $("tools").hidden = $("live-choice").hidden = isPicture;
  $("drop").hidden = !isPicture;
  if (isPicture) {
    $("input-title").textContent = "Picture";
    $("clear-canvas").textContent = "Clear picture";
    $("choose").textContent = "Choose picture…";
    $("latency").textContent = "Choose a picture: the answer appears here.";
    $("hint").textContent = `One of: ${classes.slice(0, 20).join(", ")}. Drop, paste or choose a PNG or JPEG.`;
  }
  redraw();
}

// Wiring

$("predict").addEventListener("click", predictNow);
$("undo").addEventListener("click", () => walk("undo"));
$("redo").addEventListener("click", () => walk("redo"));
$("clear-canvas").addEventListener("click", clearCanvas);
$("clear-predictions").addEventListener("click", () => {
  answers.showNothing();
  offerFeedback(null);
});
for (const id of ["pen", "eraser"]) $(id).addEventListener("click", () => choose(id));
canvas.addEventListener("keydown", (event) => {
  if (event.key === "Enter") predictNow();
  if (event.key === "Escape") clearCanvas();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=checkbox]), select");
  if (!(event.ctrlKey || event.metaKey) || event.altKey || isTyping || canvas.hidden) return;
  const letter = event.key.toLowerCase();
  const step = letter === "y" || (letter === "z" && event.shiftKey) ? "redo" : letter === "z" ? "undo" : null;
  if (!step) return;
  event.preventDefault();
  walk(step);
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value);
  $("key").value = "";
  $("key-form").hidden = $("problem").hidden = true;
  state.forgetModel();
});
setUpFeedback();
setUpPhotos(photoChosen);
setUpTheme(() => {
  redraw();
  history.redraw();
});
new ResizeObserver(redraw).observe(canvas);

redraw();
state.watch();
addEventListener("load", () => spare.keepPage().catch((error) => console.info("The page is not kept:", error.message)));
