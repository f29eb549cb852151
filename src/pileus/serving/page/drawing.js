// A drawing as values: its strokes, and the steps that undo and redo walk. Knows nothing of the screen.

export const WIDTH = 1000; // of the sheet in the drawing's units, whatever its size on the screen
export const HEIGHT = 750;
const CLOSEST = 2; // units: a point nearer to the one before it adds no ink
const FINEST = 8; // units: the eraser cuts lines as if they had a point this often
const MOST_POINTS = 9000; // the server refuses drawings of more than 10,000
const MOST_STEPS = 200;

export class Drawing {
  strokes = []; // each a list of [x, y, milliseconds, pressure]; the list is replaced with every step
  #past = [];
  #future = [];
  #before = null; // the strokes at the beginning of the step that is under way

  get isEmpty() {
    return this.strokes.length === 0;
  }

  get isFull() {
    return this.strokes.reduce((sum, stroke) => sum + stroke.length, 0) >= MOST_POINTS;
  }

  get canUndo() {
    return this.#past.length > 0;
  }

  get canRedo() {
    return this.#future.length > 0;
  }

  copy() {
    return this.strokes.map((stroke) => [...stroke]);
  }

  begin() {
    this.#before = this.strokes;
  }

  end() {
    if (this.#before === null) return;
    if (this.strokes !== this.#before) {
      this.#past = [...this.#past, this.#before].slice(-MOST_STEPS);
      this.#future = [];
    }
    this.#before = null;
  }

  cancel() {
    if (this.#before !== null) this.strokes = this.#before;
    this.#before = null;
  }

  // A whole step: bring strokes back, or clear with none.
  replace(strokes) {
    if (this.isEmpty && strokes.length === 0) return;
    this.begin();
    this.strokes = strokes;
    this.end();
  }

  startStroke(point) {
    this.strokes = [...this.strokes, [point]];
  }

  addPoint(point) {
    const stroke = this.strokes.at(-1);
    if (distance(stroke.at(-1), point) >= CLOSEST && !this.isFull) stroke.push(point);
  }

  // Takes away what lies within `radius` of the line between two points.
  erase(from, to, radius) {
    const isInk = (point) => distanceToLine(point, from, to) > radius;
    const kept = this.strokes.flatMap((stroke) => (finely(stroke).every(isInk) ? [stroke] : cut(stroke, isInk)));
    const isTouched = kept.length !== this.strokes.length || kept.some((stroke, i) => stroke !== this.strokes[i]);
    if (isTouched) this.strokes = kept;
  }

  undo() {
    this.#walk(this.#past, this.#future);
  }

  redo() {
    this.#walk(this.#future, this.#past);
  }

  #walk(from, to) {
    this.cancel();
    if (from.length === 0) return;
    to.push(this.strokes);
    this.strokes = from.pop();
  }
}

export function distance([x, y], [otherX, otherY]) {
  return Math.hypot(x - otherX, y - otherY);
}

function distanceToLine([x, y], [startX, startY], [endX, endY]) {
  const [alongX, alongY] = [endX - startX, endY - startY];
  const part = ((x - startX) * alongX + (y - startY) * alongY) / Math.max(alongX ** 2 + alongY ** 2, 1e-9);
  const clamped = Math.min(Math.max(part, 0), 1);
  return Math.hypot(x - startX - clamped * alongX, y - startY - clamped * alongY);
}

function cut(stroke, isInk) {
  const runs = [[]];
  for (const point of finely(stroke)) {
    if (isInk(point)) runs.at(-1).push(point);
    else runs.push([]);
  }
  return runs.filter((run) => run.length > 0);
}

// The same line with points between those that are far apart.
function finely(stroke) {
  return stroke.flatMap((point, i) => {
    const before = stroke[i - 1];
    const count = before ? Math.ceil(distance(before, point) / FINEST) : 1;
    if (count <= 1) return [point];
    const between = (part) => point.map((value, axis) => before[axis] + (value - before[axis]) * part);
    return Array.from({ length: count }, (_, k) => between((k + 1) / count));
  });
}
