// A bundle that answers in the browser, with the answers that its server would give.

import { readGraph } from "./onnx.js";
import { OPERATORS } from "./operators.js";
import { boxOf, rasterise } from "./rasterise.js";
import { segments } from "./segments.js";

const KNOWN_CALIBRATION = ["certain", "rejected", "temperature"];

// `description`: {name, version, classes, preprocessing, calibration}; `bytes`: its ONNX graph. Throws an Error for
// whatever it would have to answer otherwise than the server.
export class Model {
  #description;
  #graph;

  constructor(description, bytes) {
    const unknown = Object.keys(description.calibration).filter((name) => !KNOWN_CALIBRATION.includes(name));
    if (unknown.length) throw new Error(`this calibration is not known here: ${unknown}`);
    if (description.preprocessing.kind !== "drawing") throw new Error("only drawings are answered here");
    this.#description = description;
    this.#graph = readGraph(bytes);
    const missing = this.#graph.nodes.filter(({ type }) => !Object.hasOwn(OPERATORS, type));
    if (missing.length) throw new Error(`these operators are not known here: ${missing.map(({ type }) => type)}`);
    const { height, width } = description.preprocessing;
    this.logits(new Uint8Array(height * width));
  }

  get description() {
    return this.#description;
  }

  // As the API's prediction, but for its id.
  answer(strokes) {
    const { name, version, preprocessing } = this.#description;
    const shares = (lines) => this.#shares(this.logits(rasterise(lines, preprocessing)));
    const found = segments(strokes, (lines) => Math.max(...shares(lines)));
    const items = found.map((lines) => ({ ...this.#judge(shares(lines)), box: boxOf(lines) }));
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

  #shares(logits) {
    const scaled = Array.from(logits, (value) => value / this.#description.calibration.temperature);
    const most = Math.max(...scaled);
    const exponents = scaled.map((value) => Math.exp(value - most));
    const total = exponents.reduce((sum, value) => sum + value, 0);
    return exponents.map((value) => value / total);
  }

  #judge(shares) {
    const { classes, calibration } = this.#description;
    const confidence = Math.max(...shares);
    const isRejected = confidence < calibration.rejected;
    return {
      label: isRejected ? null : classes[shares.indexOf(confidence)],
      confidence,
      verdict: isRejected ? "rejected" : confidence >= calibration.certain ? "certain" : "unsure",
      probabilities: Object.fromEntries(classes.map((name, i) => [name, shares[i]])),
    };
  }
}
