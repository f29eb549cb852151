// Past predictions: bounded, each with a thumbnail, each to be brought back.

import { textOf, verdictOf } from "./answers.js";
import { $, element, percent } from "./elements.js";
import { drawStrokes } from "./ink.js";
import { drawPhoto } from "./photo.js";

const MOST = 48;

export class History {
  #recall;
  #open = null; // the row of a drawing that is still going on

  // `recall(asked, answer)` shows both again.
  constructor(recall) {
    this.#recall = recall;
    $("clear-predictions").addEventListener("click", () => this.clear());
  }

  // `asked`: {strokes} or {photo}. An answer while the drawing goes on gives way to the next.
  add(asked, answer, isLive) {
    this.#open?.remove();
    const row = this.#row(asked, answer);
    this.#open = isLive ? row : null;
    $("history").prepend(row);
    while ($("history").childElementCount > MOST) $("history").lastElementChild.remove();
    this.#show();
    row.thumbnail.redraw();
  }

  // The drawing has ended: what was answered last of it stays.
  close() {
    this.#open = null;
  }

  clear() {
    this.close();
    $("history").replaceChildren();
    this.#show();
    $("canvas").focus({ preventScroll: true });
  }

  redraw() {
    for (const row of $("history").children) row.thumbnail.redraw();
  }

  #show() {
    const isEmpty = $("history").childElementCount === 0;
    $("no-history").hidden = !isEmpty;
    $("clear-predictions").disabled = isEmpty;
  }

  #row(asked, answer) {
    const thumbnail = element("canvas");
    thumbnail.setAttribute("aria-hidden", "true");
    thumbnail.redraw = () => (asked.photo ? drawPhoto(thumbnail, asked.photo) : drawStrokes(thumbnail, asked.strokes));
    const words = element("span", "text");
    words.append(
      element("span", "label", textOf(answer)),
      element("span", "detail", verdictOf(answer)),
      element("span", "detail", `${percent(answer.confidence)} · ${answer.milliseconds.toFixed(0)} ms`),
    );
    const button = element("button", "entry");
    button.type = "button";
    button.title = "Bring this back";
    button.append(thumbnail, words);
    button.addEventListener("click", () => {
      this.close();
      this.#recall(asked, answer);
    });
    const row = element("li");
    row.thumbnail = thumbnail;
    row.append(button);
    return row;
  }
}
