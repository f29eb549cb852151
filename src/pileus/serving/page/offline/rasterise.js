// Strokes to the model's input: pileus/preprocessing/strokes.py once more, line by line, for when the server is away.

const CLOSEST_PX = 0.2;
const FEW_POINTS = 256; // are not worth thinning

// `strokes`: lists of [x, y, ...]; `spec`: {height, width, box, stroke_width} in pixels. (height * width) bytes.
export function rasterise(strokes, spec) {
  const lines = placed(strokes, spec);
  const squared = new Float64Array(spec.height * spec.width).fill(Infinity);
  for (const line of lines) {
    for (let i = 0; i < Math.max(line.length - 1, 1); i++) addSegment(squared, line[i], line[i + 1] ?? line[i], spec);
  }
  return Uint8Array.from(squared, (value) => {
    const ink = clip(spec.stroke_width / 2 + 0.5 - Math.sqrt(value), 0, 1);
    return roundedToEven(ink * 255);
  });
}

// The smallest whole box around the ink, [x, y, width, height] in the drawing's units.
export function boxOf(strokes) {
  const points = strokes.flat();
  const low = [0, 1].map((axis) => Math.floor(lowest(points, axis)));
  const high = [0, 1].map((axis) => Math.ceil(highest(points, axis)));
  return [...low, high[0] - low[0], high[1] - low[1]];
}

function placed(strokes, spec) {
  const points = strokes.flat();
  const low = [lowest(points, 0), lowest(points, 1)];
  const extents = [highest(points, 0) - low[0], highest(points, 1) - low[1]];
  const extent = Math.max(...extents);
  const scale = extent > 0 ? (spec.box - spec.stroke_width) / extent : 0;
  const framed = strokes.map((line) => line.map(([x, y]) => [(x - low[0]) * scale, (y - low[1]) * scale]));
  const lines = points.length > FEW_POINTS ? framed.map(thinned) : framed;
  const centre = centreOfMass(lines);
  const shift = [spec.width, spec.height].map((side, axis) => {
    const length = extents[axis] * scale;
    const margin = Math.min(spec.stroke_width / 2, (side - length) / 2);
    return clip(side / 2 - centre[axis], margin, side - length - margin);
  });
  return lines.map((line) => line.map(([x, y]) => [x + shift[0], y + shift[1]]));
}

// The first and last point, and between them those that are apart along the line.
function thinned(line) {
  if (line.length < 3) return line;
  let along = 0;
  let last = -1;
  return line.filter((point, i) => {
    if (i > 0) along += Math.hypot(point[0] - line[i - 1][0], point[1] - line[i - 1][1]);
    const place = Math.floor(along / CLOSEST_PX);
    const isApart = place > last;
    last = place;
    return isApart || i === line.length - 1;
  });
}

// Of ink of constant width: the mean along the lines.
function centreOfMass(lines) {
  const pieces = lines.flatMap((line) => line.slice(1).map((end, i) => [line[i], end]));
  const lengths = pieces.map(([start, end]) => Math.hypot(end[0] - start[0], end[1] - start[1]));
  const total = sum(lengths);
  if (total === 0) {
    const points = lines.flat();
    return [0, 1].map((axis) => sum(points.map((point) => point[axis])) / points.length);
  }
  const middle = ([start, end], axis) => (start[axis] + end[axis]) / 2;
  return [0, 1].map((axis) => sum(pieces.map((piece, i) => middle(piece, axis) * lengths[i])) / total);
}

// Each pixel's squared distance to the nearest piece of ink, as far as it could be inked.
function addSegment(squared, [startX, startY], [endX, endY], { height, width, stroke_width: strokeWidth }) {
  const [alongX, alongY] = [endX - startX, endY - startY];
  const squaredLength = Math.max(alongX ** 2 + alongY ** 2, 1e-12);
  const reach = strokeWidth / 2 + 1;
  const [top, bottom] = [Math.min(startY, endY) - reach, Math.max(startY, endY) + reach];
  const [left, right] = [Math.min(startX, endX) - reach, Math.max(startX, endX) + reach];
  for (let row = Math.max(0, Math.floor(top)); row < Math.min(height, Math.ceil(bottom)); row++) {
    for (let column = Math.max(0, Math.floor(left)); column < Math.min(width, Math.ceil(right)); column++) {
      const [toX, toY] = [column + 0.5 - startX, row + 0.5 - startY];
      const part = clip((toX * alongX + toY * alongY) / squaredLength, 0, 1);
      const nearest = (toX - part * alongX) ** 2 + (toY - part * alongY) ** 2;
      if (nearest < squared[row * width + column]) squared[row * width + column] = nearest;
    }
  }
}

const clip = (value, low, high) => Math.min(Math.max(value, low), high);
const sum = (values) => values.reduce((total, value) => total + value, 0);
const lowest = (points, axis) => points.reduce((least, point) => Math.min(least, point[axis]), Infinity);
const highest = (points, axis) => points.reduce((most, point) => Math.max(most, point[axis]), -Infinity);

function roundedToEven(value) {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 ? rounded - 1 : rounded;
}
