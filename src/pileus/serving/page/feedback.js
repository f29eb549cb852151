// "This is wrong: it was ...": a correction of one digit of an answer, for the server to learn from.

import { selectedItem } from "./answers.js";
import { $, element } from "./elements.js";
import { correct } from "./server.js";

let answer = null;
let isKept = false;

export function setUpFeedback() {
  $("feedback").addEventListener("submit", async (event) => {
    event.preventDefault();
    await send($("correct").value);
  });
}

// Whether the server keeps corrections, as /v1/models says.
export function allowFeedback(isAllowed) {
  isKept = isAllowed;
  offerFeedback(answer);
}

export function offerFeedback(given) {
  answer = given;
  $("thanks").textContent = "";
  $("feedback").hidden = !given || given.isLocal || !isKept;
  if ($("feedback").hidden) return;
  $("correct-label").textContent = given.items.length > 1 ? "The chosen one is wrong: it was" : "This is wrong: it was";
  const names = Object.keys(given.items[0].probabilities);
  const choose = element("option", "", "choose");
  choose.value = "";
  $("correct").replaceChildren(choose, ...names.map((name) => element("option", "", name)));
}

async function send(label) {
  const of = answer;
  try {
    await correct(of.request_id, selectedItem(), label);
    if (of !== answer) return;
    $("feedback").hidden = true;
    $("thanks").textContent = `Thank you: noted as ${label}.`;
  } catch (error) {
    $("thanks").textContent = `Not noted. ${error.message}`;
  }
}
