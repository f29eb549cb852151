// "This is wrong: it was ...": a correction of one digit of an answer, for the server to learn from.

import { selectedItem } from "./answers.js";
import { $, element } from "./elements.js";
import { correct } from "./server.js";

let answer = null;
let isKept = false;
let beside = {};

export function setUpFeedback() {
  $("feedback").addEventListener("submit", async (event) => {
    event.preventDefault();
    await send($("correct").value);
  });
}

// As /v1/models says: whether the server keeps corrections, and what the model calls an item that is no single one of its
// classes, by what a person would call it; null where the model does not know it.
export function allowFeedback(isAllowed, named) {
  isKept = isAllowed;
  beside = named;
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
  const options = names.map((name) => element("option", "", name));
  for (const [told, name] of Object.entries(beside)) {
    if (!name) continue;
    const option = element("option", "", told);
    option.value = name;
    options.push(option);
  }
  $("correct").replaceChildren(choose, ...options);
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
