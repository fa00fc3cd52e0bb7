// Forms marked data-kept are sent by script, so that a refusal stands beside what was entered instead of in its place.
"use strict";

const SAYS = document.currentScript.dataset;
const TOLD_FOR = 10_000;

document.addEventListener("submit", (event) => {
  const form = event.target.closest("form[data-kept]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.kept === "sent") return; // a second press
  form.dataset.kept = "sent";
  send(form, event.submitter);
});

async function send(form, submitter) {
  try {
    const body = new FormData(form, submitter);
    const to = submitter?.hasAttribute("formaction") ? submitter.formAction : form.action;
    const answer = await fetch(to, { method: "POST", body, headers: { "HX-Request": "true" } });
    if (answer.status === 401) LoginAgain.ask(form, () => send(form, submitter), () => { form.dataset.kept = ""; });
    else if (answer.redirected && answer.ok) goOn(answer.url, form);
    else if (answer.ok) show(await answer.text());
    else refuse(form, await answer.text());
  } catch {
    refuse(form, `<div id="refusal" class="notice bad"></div>`, SAYS.away);
  }
}

// Where the form leads; its own page is read again where the form stands in it.
function goOn(url, form) {
  const place = form.closest("section[id]");
  if (new URL(url).pathname !== location.pathname) { location.href = url; return; }
  sessionStorage.setItem("saved", JSON.stringify({ path: location.pathname, form: form.getAttribute("action"), at: Date.now() }));
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
  form.querySelector("#refusal")?.remove();
  const told = new DOMParser().parseFromString(html, "text/html").body.firstElementChild;
  if (sentence) told.textContent = sentence;
  told.setAttribute("role", "alert");
  form.prepend(told);
  told.scrollIntoView({ block: "nearest" });
}

// After the page was read again: that its form was saved, at its foot, until it is edited or a while has passed.
function tellSaved() {
  const saved = JSON.parse(sessionStorage.getItem("saved") || "null");
  sessionStorage.removeItem("saved");
  if (!saved || saved.path !== location.pathname || Date.now() - saved.at > TOLD_FOR) return;
  const form = [...document.querySelectorAll("form[data-kept]")].find((each) => each.getAttribute("action") === saved.form);
  const button = form?.querySelector("button:not([type=button])");
  if (!button?.checkVisibility()) return; // the page itself shows what became of it
  const told = document.createElement("p");
  told.className = "saved";
  told.setAttribute("role", "status");
  button.closest(".row, div, form").append(told);
  button.focus({ preventScroll: true }); // where it was pressed
  const at = new Date(saved.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  setTimeout(() => { told.textContent = SAYS.saved.replace("{time}", at); }, 300); // heard, because the place for it was there
  setTimeout(() => told.remove(), TOLD_FOR);
  form.addEventListener("input", () => told.remove(), { once: true });
}

tellSaved();
