// Answers while the drawing goes on: asked for at each pause, dropped as soon as the drawing has changed.

import { $ } from "./elements.js";
import { forGood } from "./memory.js";

const PAUSE_MS = 140;

export class Live {
  #ask;
  #timer = 0;
  #controller = null;

  // `ask(signal)` brings an answer, or is told by the signal that nobody waits for it any more.
  constructor(ask) {
    this.#ask = ask;
    $("live").checked = forGood.get("live") !== "off";
    $("live").addEventListener("change", () => {
      forGood.set("live", this.isOn ? "on" : "off");
      this.isOn ? this.changed() : this.stop();
    });
  }

  get isOn() {
    return $("live").checked;
  }

  changed() {
    this.stop();
    if (this.isOn) this.#timer = setTimeout(() => this.#begin(), PAUSE_MS);
  }

  stop() {
    clearTimeout(this.#timer);
    this.#controller?.abort();
    this.#controller = null;
  }

  #begin() {
    this.#controller = new AbortController();
    this.#ask(this.#controller.signal);
  }
}
