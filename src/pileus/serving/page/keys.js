// Drawing with the keyboard: arrows move a cursor over the sheet, Space puts the pen down and lifts it.

import { HEIGHT, WIDTH } from "./drawing.js";

const STEP = 25; // units
const FINE_STEP = 5; // with Shift
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// `host` has: canvas, drawing, began(event), changed(), redraw(), ended().
export class Keys {
  cursor = null; // [x, y] once an arrow was pressed
  isDown = false;
  #host;

  constructor(host) {
    this.#host = host;
    host.canvas.addEventListener("keydown", (event) => this.#pressed(event));
    host.canvas.addEventListener("blur", () => this.hide());
  }

  hide() {
    this.#lift();
    this.cursor = null;
    this.#host.redraw();
  }

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (!move && event.key !== " ") return;
    event.preventDefault();
    this.cursor ??= [WIDTH / 2, HEIGHT / 2];
    if (move) this.#go(move, event.shiftKey ? FINE_STEP : STEP);
    else if (!event.repeat) this.isDown ? this.#lift() : this.#put(event);
    this.isDown ? this.#host.changed() : this.#host.redraw();
  }

  #go([right, down], step) {
    const [x, y] = this.cursor;
    this.cursor = [within(x + right * step, WIDTH), within(y + down * step, HEIGHT)];
    if (this.isDown) this.#host.drawing.addPoint(this.#point());
  }

  #put(event) {
    this.#host.began(event);
    if (this.#host.drawing.isFull) return;
    this.isDown = true;
    this.#host.drawing.begin();
    this.#host.drawing.startStroke(this.#point());
  }

  #lift() {
    if (!this.isDown) return;
    this.isDown = false;
    this.#host.drawing.end();
    this.#host.ended();
  }

  #point() {
    return [...this.cursor, 0, 0.5];
  }
}

const within = (value, most) => Math.min(Math.max(value, 0), most);
