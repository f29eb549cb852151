// Strokes on a canvas, in the theme's ink.

import { HEIGHT, WIDTH } from "./drawing.js";

export const PEN = 42; // units: the width of a line at middle pressure

export function fit(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((side) =>
    Math.max(1, Math.round(side * devicePixelRatio)),
  );
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

export function drawStrokes(canvas, strokes) {
  fit(canvas);
  const pen = canvas.getContext("2d");
  pen.setTransform(canvas.width / WIDTH, 0, 0, canvas.height / HEIGHT, 0, 0);
  pen.clearRect(0, 0, WIDTH, HEIGHT);
  pen.strokeStyle = pen.fillStyle = getComputedStyle(canvas).color;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) drawStroke(pen, stroke);
}

export function drawCursor(canvas, [x, y], isDown) {
  const pen = canvas.getContext("2d");
  pen.lineWidth = 4;
  pen.beginPath();
  pen.arc(x, y, PEN / 2, 0, 2 * Math.PI);
  if (isDown) pen.fill();
  pen.stroke();
}

// From the middle of each piece to the middle of the next, as wide as the pen was pressed.
function drawStroke(pen, stroke) {
  if (stroke.length === 1) {
    pen.beginPath();
    pen.arc(stroke[0][0], stroke[0][1], width(stroke[0]) / 2, 0, 2 * Math.PI);
    pen.fill();
  }
  let [fromX, fromY] = stroke[0];
  for (let i = 1; i < stroke.length; i++) {
    const [x, y] = stroke[i];
    const [nextX, nextY] = stroke[Math.min(i + 1, stroke.length - 1)];
    const [toX, toY] = [(x + nextX) / 2, (y + nextY) / 2];
    pen.lineWidth = width(stroke[i]);
    pen.beginPath();
    pen.moveTo(fromX, fromY);
    pen.quadraticCurveTo(x, y, toX, toY);
    pen.stroke();
    [fromX, fromY] = [toX, toY];
  }
}

const width = ([, , , pressure]) => PEN * (0.5 + pressure);
