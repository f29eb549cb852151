// A bundle that answers in the browser, with the answers that its server would give.

import { readGraph } from "./onnx.js";
import { OPERATORS } from "./operators.js";
import { boxOf, rasterise } from "./rasterise.js";
import { segments } from "./segments.js";

const KNOWN = ["name", "version", "classes", "none", "several", "preprocessing", "calibration"];
const [TOGETHER, SMALL, AMONG_OTHERS] = [0.5, 0.4, 0.02]; // as serving/predictions.py has them
const NONE = 0.5; // as preprocessing/lattice.py has it
const KNOWN_CALIBRATION = ["certain", "rejected", "temperature"];

// `description`: {name, version, classes, none, several, preprocessing, calibration}, where `none` and `several` are null
// or what the graph's logits after those of the classes are for; `bytes`: the ONNX graph. Throws an Error for whatever it
// would have to answer otherwise than the server.
export class Model {
  #description;
  #graph;

  constructor(description, bytes) {
    refuse("fields of a bundle", Object.keys(description), KNOWN);
    refuse("fields of a calibration", Object.keys(description.calibration), KNOWN_CALIBRATION);
    if (description.preprocessing.kind !== "drawing") throw new Error("only drawings are answered here");
    this.#description = description;
    this.#graph = readGraph(bytes);
    refuse("operators", this.#graph.nodes.map(({ type }) => type), Object.keys(OPERATORS));
    const { height, width } = description.preprocessing;
    const given = this.logits(new Uint8Array(height * width)).length;
    const asked = description.classes.length + (this.#knowsNone ? 1 : 0) + (this.#knowsSeveral ? 1 : 0);
    if (given !== asked) throw new Error(`the graph gives ${given} logits, its classes need ${asked}`);
  }

  get #knowsNone() {
    return (this.#description.none ?? null) !== null;
  }

  get #knowsSeveral() {
    return (this.#description.several ?? null) !== null;
  }

  get description() {
    return this.#description;
  }

  // As the API's prediction, but for its id.
  answer(strokes) {
    const { name, version, preprocessing } = this.#description;
    const shares = (lines) => this.#shares(this.logits(rasterise(lines, preprocessing)));
    const found = segments(strokes, (lines) => this.#sureness(shares(lines)));
    const each = found.map((lines) => ({ shares: this.#ofClasses(shares(lines)), box: boxOf(lines) }));
    const least = this.#thresholds(each);
    const items = each.map(({ shares, box }, i) => ({ ...this.#judge(shares, least[i]), box }));
    const text = items.map(({ label }) => label ?? "").join("");
    const confidence = items.reduce((product, item) => product * item.confidence, 1);
    return { model: { name, version }, text, confidence, items };
  }

  // Of one image, (height * width) bytes.
  logits(image) {
    const { height, width } = this.#description.preprocessing;
    const values = new Map(this.#graph.tensors);
    values.set("images", { shape: [1, height, width, 1], data: Float32Array.from(image) });
    for (const { type, inputs, outputs, attributes } of this.#graph.nodes) {
      const given = inputs.map((name) => (name ? values.get(name) : undefined));
      values.set(outputs[0], OPERATORS[type](given, attributes));
    }
    return values.get("logits").data;
  }

  // Of the classes; what they lack to 1 is the probability of none of them, where the model knows it.
  #ofClasses(shares) {
    return shares.slice(0, this.#description.classes.length);
  }

  // How surely it is one item, be it of none of the classes where the model tells several items from that.
  #sureness(shares) {
    const highest = Math.max(...this.#ofClasses(shares));
    return this.#knowsSeveral ? Math.max(highest, NONE * shares[this.#description.classes.length]) : highest;
  }

  #shares(logits) {
    const scaled = Array.from(logits, (value) => value / this.#description.calibration.temperature);
    const most = Math.max(...scaled);
    const exponents = scaled.map((value) => Math.exp(value - most));
    const total = exponents.reduce((sum, value) => sum + value, 0);
    return exponents.map((value) => value / total);
  }

  #belonging(shares) {
    return this.#knowsNone ? shares.reduce((sum, share) => sum + share, 0) : Math.max(...shares);
  }

  // Under which each item is rejected: less in a string whose items are digits in the mean.
  #thresholds(items) {
    const own = this.#description.calibration.rejected;
    const total = items.reduce((sum, { shares }) => sum + this.#belonging(shares), 0);
    const tallest = Math.max(...items.map(({ box }) => box[3]));
    if (items.length < 2 || total / items.length < TOGETHER) return items.map(() => own);
    return items.map(({ box }) => (box[3] < SMALL * tallest ? own : own * AMONG_OTHERS));
  }

  #judge(shares, least) {
    const { classes, calibration } = this.#description;
    const confidence = Math.max(...shares);
    const isRejected = this.#belonging(shares) < least;
    return {
      label: isRejected ? null : classes[shares.indexOf(confidence)],
      confidence,
      verdict: isRejected ? "rejected" : confidence >= calibration.certain ? "certain" : "unsure",
      probabilities: Object.fromEntries(classes.map((name, i) => [name, shares[i]])),
    };
  }
}

function refuse(what, found, known) {
  const unknown = found.filter((name) => !known.includes(name));
  if (unknown.length) throw new Error(`these ${what} are not known here: ${unknown}`);
}
