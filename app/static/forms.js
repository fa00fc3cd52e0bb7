// Forms marked data-kept are sent by script, so that a refusal stands beside what was entered instead of in its place.
"use strict";

const AWAY = document.currentScript.dataset.away;

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-kept]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.kept === "sent") return; // a second press
  form.dataset.kept = "sent";
  try {
    const body = new FormData(form, event.submitter);
    const to = event.submitter?.hasAttribute("formaction") ? event.submitter.formAction : form.action;
    const answer = await fetch(to, { method: "POST", body, headers: { "HX-Request": "true" } });
    if (answer.redirected && answer.ok) goOn(answer.url, form);
    else if (answer.ok) show(await answer.text());
    else refuse(form, await answer.text());
  } catch {
    refuse(form, `<div id="refusal" class="notice bad"></div>`, AWAY);
  }
});

// Where the form leads; its own page is read again where the form stands in it.
function goOn(url, form) {
  const place = form.closest("section[id]");
  if (new URL(url).pathname !== location.pathname) { location.href = url; return; }
  history.replaceState(null, "", location.pathname + location.search + (place ? `#${place.id}` : ""));
  location.reload();
}

// What came of it, which is told this once: a secret, a link.
function show(html) {
  document.querySelector("main").replaceWith(new DOMParser().parseFromString(html, "text/html").querySelector("main"));
  scrollTo(0, 0);
}

// What the server says, or that nobody was reached, above the fields.
function refuse(form, html, sentence) {
  form.dataset.kept = "";
  form.querySelector("#refusal, #login-again")?.remove();
  const told = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
  if (sentence) told.textContent = sentence;
  told.setAttribute("role", "alert");
  form.prepend(told);
  told.scrollIntoView({ block: "nearest" });
}
