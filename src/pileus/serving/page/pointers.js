// Mouse, finger and pen on the sheet. One pointer draws at a time; a palm beside a pen does not.

import { HEIGHT, WIDTH } from "./drawing.js";
import { PEN } from "./ink.js";

const ERASER_BUTTON = 32; // of a pen that is turned round, in PointerEvent.buttons
const ERASER_RADIUS = PEN * 0.75;
const PALM_MS = 1500; // touches this soon after a pen was near are the hand that holds it

// `host` has: canvas, drawing, isErasing(), began(event), changed(), ended().
export class Pointers {
  #host;
  #active = null; // {id, type, isErasing, last}
  #penSeen = -Infinity;
  #start = 0;

  constructor(host) {
    this.#host = host;
    const { canvas } = host;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.#cancelled(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  // What is under way is left out, as when something else takes the sheet.
  drop() {
    if (!this.#active) return;
    this.#active = null;
    this.#host.drawing.cancel();
    this.#host.changed();
  }

  #down(event) {
    if (event.pointerType === "pen") this.#penSeen = event.timeStamp;
    else if (event.pointerType === "touch" && event.timeStamp - this.#penSeen < PALM_MS) return;
    if (event.pointerType === "pen" && this.#active?.type === "touch") this.drop();
    const isErasing = this.#host.isErasing() || (event.buttons & ERASER_BUTTON) !== 0;
    if (this.#active || (event.button !== 0 && !isErasing)) return;
    this.#host.began(event);
    const { canvas, drawing } = this.#host;
    if (drawing.isFull && !isErasing) return;
    canvas.setPointerCapture(event.pointerId);
    if (drawing.isEmpty) this.#start = event.timeStamp;
    drawing.begin();
    const last = this.#point(event);
    this.#active = { id: event.pointerId, type: event.pointerType, isErasing, last };
    if (isErasing) drawing.erase(last, last, ERASER_RADIUS);
    else drawing.startStroke(last);
    this.#host.changed();
  }

  #move(event) {
    if (event.pointerType === "pen") this.#penSeen = event.timeStamp;
    if (event.pointerId !== this.#active?.id) return;
    const finer = event.getCoalescedEvents?.() ?? [];
    for (const part of finer.length ? finer : [event]) this.#goTo(this.#point(part));
    this.#host.changed();
  }

  #up(event) {
    if (event.pointerId !== this.#active?.id) return;
    const [x, y, time] = this.#point(event);
    this.#goTo([x, y, time, this.#active.last[3]]); // a pen that is lifted has no pressure
    this.#active = null;
    this.#host.drawing.end();
    this.#host.ended();
  }

  #cancelled(event) {
    if (event.pointerId === this.#active?.id) this.drop();
  }

  #goTo(point) {
    const { drawing } = this.#host;
    if (this.#active.isErasing) drawing.erase(this.#active.last, point, ERASER_RADIUS);
    else drawing.addPoint(point);
    this.#active.last = point;
  }

  #point(event) {
    const frame = this.#host.canvas.getBoundingClientRect();
    const x = ((event.clientX - frame.left) / frame.width) * WIDTH;
    const y = ((event.clientY - frame.top) / frame.height) * HEIGHT;
    const pressure = event.pointerType === "pen" ? event.pressure : 0.5;
    return [round(x), round(y), Math.max(0, Math.round(event.timeStamp - this.#start)), pressure];
  }
}

const round = (value) => Math.round(value * 10) / 10;
