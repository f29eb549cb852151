// The server's state and model, at the head of the page.

import { $ } from "./elements.js";
import { fetchModel, recallModel } from "./offline/spare.js";
import { Away, Refused, ask, key, productionModel, readiness } from "./server.js";

const LOOK_MS = 5_000;
const WORDS = {
  ready: "ready",
  starting: "starting",
  draining: "draining",
  waiting: "not ready",
  away: "not reached",
};

export class State {
  name = "asking";
  #version = null;
  #known;

  // `known(model)` is called with what /v1/models says, when it is first known and when another model is served.
  constructor(known) {
    this.#known = known;
  }

  get isAway() {
    return this.name === "away";
  }

  watch() {
    setInterval(() => document.hidden || this.look(), LOOK_MS);
    document.addEventListener("visibilitychange", () => document.hidden || this.look());
    return this.look();
  }

  async look() {
    this.show(await readiness());
    if (this.name === "ready" && !this.#version) await this.#meet();
    else if (this.isAway && !this.#version) this.#tell(await recallModel());
  }

  show(name) {
    this.name = name;
    if ($("status").textContent !== WORDS[name]) $("status").textContent = WORDS[name];
    $("status").dataset.state = name;
  }

  // An answer names the model that made it; another than before is met anew.
  answeredBy({ version }) {
    if (this.#version && this.#version !== version) return this.#meet();
  }

  forgetModel() {
    this.#version = null;
    return this.look();
  }

  async #meet() {
    try {
      const model = await productionModel();
      this.#version = model.version;
      this.#tell(model);
      this.#known(model);
      if (model.input.kind === "drawing") await fetchModel(model.version, ask, Boolean(key.get()));
    } catch (error) {
      if (error.status === 401) $("key-form").hidden = false;
      else if (!(error instanceof Away || error instanceof Refused)) throw error; // the next look tries again
    }
  }

  #tell(model) {
    if (!model) return;
    $("model").textContent = `${model.name} · ${model.version.slice(0, 8)} · ${model.classes.length} classes`;
    $("model").title = `${model.name}@${model.version}`;
    document.title = `Pileus · ${model.name}`;
  }
}
