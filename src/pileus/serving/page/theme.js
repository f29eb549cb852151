// Light, dark, or as the system has it.

import { $ } from "./elements.js";
import { forGood } from "./memory.js";

const NEXT = { auto: "light", light: "dark", dark: "auto" };
const NAMES = { auto: "Auto", light: "Light", dark: "Dark" };

export function setUpTheme(changed) {
  show(forGood.get("theme") ?? "auto");
  $("theme").addEventListener("click", () => {
    const chosen = NEXT[document.documentElement.dataset.theme];
    forGood.set("theme", chosen);
    show(chosen);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

function show(theme) {
  document.documentElement.dataset.theme = NAMES[theme] ? theme : "auto";
  $("theme").textContent = NAMES[theme] ?? NAMES.auto;
  $("theme").setAttribute("aria-label", `Colours: ${$("theme").textContent}`);
}
