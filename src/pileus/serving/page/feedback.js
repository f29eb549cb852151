// "This is wrong: it was ...": a correction of one digit of an answer, for the server to learn from.

import { selectedItem } from "./answers.js";
import { $, element } from "./elements.js";
import { forSession } from "./memory.js";
import { correct } from "./server.js";

let answer = null;

export function setUpFeedback() {
  $("feedback").addEventListener("submit", async (event) => {
    event.preventDefault();
    await send($("correct").value);
  });
}

export function offerFeedback(given) {
  answer = given;
  $("thanks").textContent = "";
  $("feedback").hidden = !given || given.isLocal || forSession.get("corrections") === "none";
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
    const isKept = await correct(of.request_id, selectedItem(), label);
    if (of !== answer) return;
    $("feedback").hidden = true;
    $("thanks").textContent = isKept ? `Thank you: noted as ${label}.` : "This server keeps no corrections.";
    if (!isKept) forSession.set("corrections", "none");
  } catch (error) {
    $("thanks").textContent = `Not noted. ${error.message}`;
  }
}
