// A drawing to its digits: pileus/preprocessing/drawings.py and lattice.py once more, name by name.

const MAX_STROKES = 64;
const MAX_PARTS = 4;
const COMPARED_POINTS = 24;
const CLEAR_GAP = 0.15;
const NEAR = 0.12;
const TOGETHER = 0.5;
const OVER = 0.5;
const [FLAT, TINY] = [0.3, 0.12];
const LEAST_WIDTH = 0.1;
const WIDEST = 1.6;
const DOUBT = 0.6;
const LEAST_PROBABILITY = 1e-4;
const BETTER_ONE = 0.35;
const [NEVER, MAY, SHOULD] = [0, 1, 2];

// The strokes of each digit, from left to right. `judge` gives the highest probability for the strokes of one; it is
// asked only where their shape leaves a doubt.
export function segments(strokes, judge) {
  if (strokes.length < 2 || strokes.length > MAX_STROKES) return [strokes];
  const found = candidates(bunched(strokes.map((stroke) => part([stroke]))));
  if (found.slice(1).every(({ start }, i) => start === found[i].stop)) return found.map(({ lines }) => lines);
  const scores = found.map(({ lines, prior }) => prior + Math.log(Math.max(judge(lines), LEAST_PROBABILITY)));
  return bestChain(found, scores.map((score) => score - BETTER_ONE)).map((number) => found[number].lines);
}

function part(lines) {
  const points = lines.flat();
  const side = (axis, choose, first) => points.reduce((most, point) => choose(most, point[axis]), first);
  return {
    lines,
    left: side(0, Math.min, Infinity),
    top: side(1, Math.min, Infinity),
    right: side(0, Math.max, -Infinity),
    bottom: side(1, Math.max, -Infinity),
  };
}

const width = ({ left, right }) => right - left;
const height = ({ top, bottom }) => bottom - top;
const joined = (one, other) => part([...one.lines, ...other.lines]);

function unitOf(parts) {
  const wide = Math.max(...parts.map(({ right }) => right)) - Math.min(...parts.map(({ left }) => left));
  return Math.max(...parts.map(height), 0.1 * wide, 1e-9);
}

function bunched(parts) {
  const unit = unitOf(parts);
  const done = [];
  for (let next of [...parts].sort((a, b) => a.left - b.left)) {
    const isNear = (other) => overlap(next, other, unit) >= TOGETHER && distance(next, other) <= NEAR * unit;
    for (let i = done.findIndex(isNear); i >= 0; i = done.findIndex(isNear)) next = joined(...done.splice(i, 1), next);
    done.push(next);
  }
  return done.sort((a, b) => a.left + a.right - b.left - b.right);
}

function overlap(one, other, unit) {
  const least = Math.min(width(one), width(other));
  const narrower = Math.max(least, LEAST_WIDTH * unit);
  const shared = Math.min(one.right, other.right) - Math.max(one.left, other.left);
  return Math.min((least < narrower && shared >= 0 ? narrower : shared) / narrower, 1);
}

function distance(one, other) {
  const [some, others] = [somePoints(one), somePoints(other)];
  return Math.min(...some.map(([x, y]) => Math.min(...others.map(([toX, toY]) => Math.hypot(x - toX, y - toY)))));
}

function somePoints({ lines }) {
  const each = Math.max(2, Math.floor(COMPARED_POINTS / lines.length));
  return lines.flatMap((line) => spread(line, each));
}

function spread(line, count) {
  const along = [0];
  for (let i = 1; i < line.length; i++) {
    along.push(along[i - 1] + Math.hypot(line[i][0] - line[i - 1][0], line[i][1] - line[i - 1][1]));
  }
  return Array.from({ length: count }, (_, i) => {
    const place = (along.at(-1) * i) / (count - 1);
    const before = along.findLastIndex((length) => length <= place);
    if (i === count - 1 || before === line.length - 1) return line.at(-1);
    const share = (place - along[before]) / (along[before + 1] - along[before]);
    return [0, 1].map((axis) => line[before][axis] + share * (line[before + 1][axis] - line[before][axis]));
  });
}

function candidates(parts) {
  const unit = unitOf(parts);
  const joins = parts.slice(1).map((right, i) => join(parts[i], right, unit));
  const found = [];
  for (let start = 0; start < parts.length; start++) {
    let whole = parts[start];
    for (let stop = start + 1; stop <= parts.length; stop++) {
      if (stop - start > 1) {
        whole = joined(whole, parts[stop - 1]);
        if (joins[stop - 2] === NEVER || stop - start > MAX_PARTS) break;
        if (width(whole) > WIDEST * unit && joins[stop - 2] !== SHOULD) break;
      }
      const within = joins.slice(start, stop - 1).filter((each) => each === MAY).length;
      const beside = [joins[start - 1], joins[stop - 1]].filter((each) => each === SHOULD).length;
      found.push({ start, stop, lines: whole.lines, prior: -DOUBT * (within + beside) });
    }
  }
  return found;
}

function join(left, right, unit) {
  const gap = Math.max(left.left, right.left) - Math.min(left.right, right.right);
  const smaller = Math.min(height(left), height(right));
  if (Math.max(smaller, Math.min(width(left), width(right))) < TINY * unit) {
    return gap < 2 * CLEAR_GAP * unit ? SHOULD : NEVER;
  }
  if (gap > CLEAR_GAP * unit * (smaller < FLAT * unit ? 2 : 1)) return NEVER;
  return smaller < FLAT * unit || overlap(left, right, unit) >= OVER ? SHOULD : MAY;
}

// `found` is in the order of starts.
function bestChain(found, scores) {
  const end = Math.max(...found.map(({ stop }) => stop));
  const best = [0, ...Array(end).fill(-Infinity)];
  const last = Array(end + 1).fill(-1);
  found.forEach(({ start, stop }, number) => {
    if (best[start] + scores[number] <= best[stop]) return;
    best[stop] = best[start] + scores[number];
    last[stop] = number;
  });
  const chain = [];
  for (let place = end; place > 0; place = found[last[place]].start) chain.unshift(last[place]);
  return chain;
}
