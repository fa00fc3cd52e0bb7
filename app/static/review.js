// One key answers: each button that has a data-key is pressed by it. The turn is kept while somebody works on it.
"use strict";

(() => {
  const wanted = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const digitOf = (event) => event.code?.match(/^(?:Digit|Numpad)([1-9])$/)?.[1];

  function matches(button, event) {
    if ((button.dataset.shift !== undefined) !== (event.shiftKey && /^[a-z]$/i.test(event.key))) return false;
    const keys = [button.dataset.key, button.dataset.also];
    return keys.includes(wanted(event)) || (!event.shiftKey && keys.includes(digitOf(event) ?? "none"));
  }

  function press(element) {
    if (element.tagName === "SUMMARY") {
      element.parentElement.open = true;
      element.parentElement.querySelector("input[type=text], textarea, form button")?.focus();
    } else {
      element.click();
    }
  }

  // A dialog that was closed keeps the focus until the page is next drawn; a key pressed before that is not meant for it.
  const onSeen = (event, kinds) => event.target.closest(kinds)?.checkVisibility();

  function onKey(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.target.closest("textarea")?.form.requestSubmit();
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing || event.repeat) return;
    if (document.querySelector("dialog[open]") || onSeen(event, "textarea, input, select")) return;
    if (event.key === "Enter" && onSeen(event, "button, a, summary")) return;
    if (event.key !== "Enter" && localStorage.getItem("keys") === "off") return;
    const found = [...document.querySelectorAll("[data-key]")].find((each) => matches(each, event));
    if (!found) return;
    event.preventDefault();
    press(found);
  }

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const does = event.target.closest("[data-does]")?.dataset.does;
    if (does === "help") document.getElementById("help").showModal();
    if (does === "close") document.getElementById("help").close();
    if (does === "marks") {
      localStorage.setItem("marks", document.body.classList.toggle("unmarked") ? "off" : "on");
    }
  });
  document.body.classList.toggle("unmarked", localStorage.getItem("marks") === "off");

  const off = document.getElementById("keys-off");
  if (off) {
    off.checked = localStorage.getItem("keys") === "off";
    off.addEventListener("change", () => localStorage.setItem("keys", off.checked ? "off" : "on"));
  }

  const talk = document.querySelector(".talk");
  if (talk) talk.scrollTop = talk.scrollHeight; // a long history is read upwards from the question

  // --- whoever reads and types keeps the turn; a window that was left alone does not ---

  const path = document.getElementById("question")?.dataset.renew;
  let touched = true;
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) {
    document.addEventListener(kind, () => { touched = true; }, { passive: true });
  }
  if (path) {
    setInterval(async () => {
      if (!touched) return;
      touched = false;
      const answer = await fetch(path, { method: "POST", headers: { "HX-Request": "true" } }).catch(() => null);
      if (answer?.status === 409) location.reload();
    }, 120_000);
  }
})();
