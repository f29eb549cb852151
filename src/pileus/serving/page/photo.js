// A picture in place of a drawing: chosen, dropped or pasted.

import { $ } from "./elements.js";
import { fit } from "./ink.js";

const KINDS = ["image/png", "image/jpeg"];

// {blob, image, size}; throws an Error that a person may read.
export async function readPhoto(blob) {
  const fault = new Error(`“${blob.name ?? "This"}” is not a PNG or JPEG picture that can be read.`);
  if (!KINDS.includes(blob.type)) throw fault;
  const image = new Image();
  image.alt = "The chosen picture";
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } catch {
    throw fault;
  } finally {
    URL.revokeObjectURL(image.src);
  }
  return { blob, image, size: [image.naturalWidth, image.naturalHeight] };
}

export function showPhoto(photo) {
  $("preview").replaceChildren(...(photo ? [photo.image] : []));
  $("preview").hidden = !photo;
  $("drop-text").hidden = Boolean(photo);
  $("photo").value = "";
}

export function drawPhoto(canvas, { image, size: [width, height] }) {
  fit(canvas);
  const scale = Math.min(canvas.width / width, canvas.height / height);
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  const [shownWidth, shownHeight] = [width * scale, height * scale];
  pen.drawImage(image, (canvas.width - shownWidth) / 2, (canvas.height - shownHeight) / 2, shownWidth, shownHeight);
}

// `chosen(blob)` is called for each picture that comes in.
export function setUpPhotos(chosen) {
  $("choose").addEventListener("click", () => $("photo").click());
  $("photo").addEventListener("change", ({ target }) => target.files[0] && chosen(target.files[0]));
  document.addEventListener("paste", (event) => {
    const [file] = event.clipboardData?.files ?? [];
    if (file) chosen(file);
  });
  for (const name of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(name, (event) => {
      event.preventDefault();
      $("sheet").classList.toggle("dropping", name === "dragenter" || name === "dragover");
      if (name === "drop" && event.dataTransfer.files[0]) chosen(event.dataTransfer.files[0]);
    });
  }
}
