// What was done a moment ago: said once on the page that follows, with the way back to correct what was submitted.
"use strict";

class LastRanking {
  // A turn that was handed back has no way back.
  static keep(path) {
    sessionStorage.setItem("last", JSON.stringify({ path, at: Date.now(), told: false }));
  }

  // Shows it in the element with data-last, and speaks it the first time; returns the way back while it is news.
  static tell(element, speak) {
    const last = JSON.parse(sessionStorage.getItem("last") || "null");
    if (!element || !last || last.path === location.pathname || Date.now() - last.at > 600_000) return null;
    const time = new Date(last.at);
    const clock = `${String(time.getHours()).padStart(2, "0")}:${String(time.getMinutes()).padStart(2, "0")}`;
    const sentence = last.path ? element.dataset.last : element.dataset.handed;
    element.querySelector("[data-said]").textContent = sentence.replace("{time}", clock);
    if (last.path) element.querySelector("a").href = last.path;
    element.querySelector("[data-back]").hidden = !last.path;
    element.hidden = false;
    if (last.told) { LastRanking.keyGone(element); return null; }
    sessionStorage.setItem("last", JSON.stringify({ ...last, told: true }));
    setTimeout(() => speak(element.querySelector("[data-said]").textContent), 300);
    return last.path;
  }

  // Where Backspace does something else, or nothing, the link alone leads to the last ranking.
  static keyGone(element) {
    element?.querySelector("kbd")?.remove();
  }
}
