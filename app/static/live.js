// Parts of a page that renew themselves while somebody looks: each asks whether what it shows is still so, and where it
// is not, only what differs is changed in place. Scrolling, focus, and what was opened or chosen stay as they are, and
// nothing is announced.
"use strict";

(() => {
  const EVERY_MS = 5000, LONGEST_MS = 60_000;
  const rests = new WeakSet(); // inner parts that are as they should be until the part around them changes
  let asking = false, ended = false;

  const around = (part) => part.parentElement.closest("[data-live]");

  async function ask(part) {
    const { live, mark } = part.dataset;
    const headers = { "HX-Request": "true" };
    const answer = await fetch(`${live}?mark=${mark}`, { headers, signal: AbortSignal.timeout(LONGEST_MS) });
    if (!part.isConnected || part.dataset.live !== live) return; // another part was opened meanwhile
    if (answer.status === 204) rests.add(part);
    if (answer.status === 200) renew(part, await answer.text());
    if (answer.status === 401) end(await answer.text());
  }

  function renew(part, html) {
    const renewed = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    Idiomorph.morph(part, renewed, {
      morphStyle: "outerHTML",
      callbacks: {
        beforeNodeMorphed: (before) => before === part || !stays(before),
        beforeAttributeUpdated: (name, element) => !(name === "open" && element.localName === "details"),
      },
    });
    window.htmx?.process(part);
  }

  // What is filled in or chosen stays; a part within this one is asked for by itself.
  function stays(node) {
    if (node.nodeType !== Node.ELEMENT_NODE) return false;
    if (node.dataset.live) rests.delete(node);
    return Boolean(node.dataset.live) || node.matches("input, select, textarea");
  }

  // Nobody is logged in any more: said once, beside figures that stay those of that time.
  function end(html) {
    ended = true;
    clearInterval(clock);
    document.removeEventListener("visibilitychange", look);
    const told = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
    told.classList.add("notice", "warn");
    told.setAttribute("role", "status");
    document.querySelector("main").prepend(told);
  }

  async function round(wanted) {
    if (asking || ended || document.hidden) return;
    asking = true;
    try {
      for (const part of document.querySelectorAll("[data-live]")) {
        if (ended) break;
        if (part.isConnected && wanted(part)) await ask(part);
      }
    } catch {
      // The web is away for a moment; the next round asks again.
    } finally {
      asking = false;
    }
  }

  const due = (part) => !around(part) || !rests.has(part);
  const look = () => round(due);
  const clock = setInterval(look, EVERY_MS);
  document.addEventListener("visibilitychange", look);
  round((part) => !part.dataset.mark); // what the page came without
})();
