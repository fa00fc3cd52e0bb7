// One key answers: each button that has a data-key is pressed by it.
"use strict";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  if (event.target.closest("textarea, input, select")) return;
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return;
  const digit = event.code?.match(/^(?:Digit|Numpad)([1-9])$/)?.[1];
  const wanted = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const button = [...document.querySelectorAll("[data-key]")].find(
    (each) => each.dataset.key === wanted || each.dataset.also === wanted || (digit && each.dataset.key === digit),
  );
  if (!button) return;
  event.preventDefault();
  button.click();
});
