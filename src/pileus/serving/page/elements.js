// Finding and making elements.

export const $ = (id) => document.getElementById(id);

export function element(tag, name = "", text = "") {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.textContent = text;
  return made;
}

export const percent = (share) => `${(share * 100).toFixed(1)}%`;
