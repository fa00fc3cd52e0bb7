// The ranking screen: keys, dragging, drafts, submission. The state lives in RankingState; this file shows it.
"use strict";

(() => {
  const form = document.getElementById("ranking");
  const words = document.getElementById("words").dataset;
  const letters = [...document.querySelectorAll(".response")].map((card) => card.dataset.letter);
  const state = new RankingState(letters, form.dataset.ties === "yes");
  const order = document.getElementById("order");
  const open = form.dataset.open === "yes";
  let asked = null; // the boundary that digits name, if one was chosen
  let marking = null; // null, "letter", or the letter whose fault is being marked
  let submitting = false;

  const say = (key, parts = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => parts[name]);
  const speak = (text) => { document.getElementById("spoken").textContent = text; };
  const ability = (number) => words[`ability-${number}`] || words[`ability${number}`];
  const dimension = (number) => words[`dimension-${number}`] || words[`dimension${number}`];
  const circled = (number) => "①②③④⑤⑥⑦⑧⑨"[number - 1];
  const upper = (letter) => letter.toUpperCase();

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "class") element.className = value;
      else if (value !== undefined) element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
  }

  // --- showing ---

  function token(letter) {
    const label = `${upper(letter)}`;
    return make("button", { type: "button", class: "letter token", "data-token": letter, "aria-label": label }, label);
  }

  // Where a response that is dragged becomes a group of its own; between two groups it is as wide as their boundary.
  function gap(...inside) {
    return make("span", { class: "gap", "data-gap": "" }, ...inside);
  }

  function boundaryButton(boundary, index) {
    const named = boundary.ability;
    const chosen = index === (asked ?? state.openBoundary());
    const button = make("button", {
      type: "button",
      "data-boundary": index,
      class: `boundary ${named ? `named ${dimension(named)}` : ""} ${chosen ? "asked" : ""}`,
    });
    button.append(named ? `${circled(named)} ${ability(named)}` : words.decides);
    if (named && boundary.clear) button.append(make("span", { class: "clear" }, words.clear));
    return button;
  }

  function showOrder() {
    const parts = [gap()];
    state.groups.forEach((group, index) => {
      const rank = make("span", { class: "rank" }, String(index + 1));
      const label = say("place", { place: index + 1 });
      parts.push(make("span", { class: "group", role: "group", "aria-label": label, "data-members": "" }, rank, ...group.map(token)));
      parts.push(index < state.boundaries.length ? gap(boundaryButton(state.boundaries[index], index)) : gap());
    });
    const left = state.unplaced();
    if (left.length) {
      parts.push(make("span", { class: "group unplaced", "data-unplaced": "" }, make("span", { class: "rank" }, words.unplaced), ...left.map(token)));
    }
    order.replaceChildren(...parts);
    letDrag();
  }

  function showCards() {
    for (const card of document.querySelectorAll(".response")) {
      const letter = card.dataset.letter;
      const at = state.groupOf(letter);
      card.classList.toggle("placed", at >= 0);
      card.classList.toggle("marking", marking === letter);
      card.querySelector("[data-place]").textContent = at < 0 ? "" : say("place", { place: at + 1 });
      const chips = [...state.marks.get(letter)].sort().map((number) =>
        make("button", { type: "button", class: `fault ${dimension(number)}`, "data-unmark": number, title: ability(number) }, `${circled(number)} ${ability(number)}`));
      card.querySelector("[data-faults]").replaceChildren(...chips);
    }
    const mode = marking === null ? "" : marking === "letter" ? words.markletter : say("markability", { letter: upper(marking) });
    document.getElementById("mode").textContent = mode;
  }

  function show() {
    showOrder();
    showCards();
    writeForm();
  }

  function writeForm() {
    for (const [name, value] of Object.entries(state.fields())) {
      const field = form.elements[name];
      if (Array.isArray(value)) [...field.options].forEach((option) => { option.selected = value.includes(option.value); });
      else field.value = value;
    }
    form.elements.acts.value = state.acts;
  }

  function readForm() {
    const fields = {};
    for (const letter of letters) {
      fields[`place-${letter}`] = form.elements[`place-${letter}`].value;
      fields[`fault-${letter}`] = [...form.elements[`fault-${letter}`].selectedOptions].map((option) => option.value);
    }
    for (let i = 1; i < letters.length; i += 1) {
      fields[`ability-${i}`] = form.elements[`ability-${i}`].value;
      fields[`strength-${i}`] = form.elements[`strength-${i}`].value;
    }
    return fields;
  }

  // --- acts ---

  function changed(text) {
    if (text) speak(text);
    clearObjections();
    show();
    saveSoon();
  }

  function act(name, letter) {
    if (!open) return;
    if (name === "place") { state.place(letter); changed(say("placed", { letter: upper(letter), place: state.groupOf(letter) + 1 })); }
    if (name === "tie") {
      if (state.tie(letter)) changed(say("tied", { letter: upper(letter), place: state.groupOf(letter) + 1 }));
      else if (!state.tiesAllowed) speak(words.noties);
    }
  }

  function move(letter, step) {
    if (!open || !state.move(letter, step)) return;
    changed(say("moved", { letter: upper(letter), place: state.groupOf(letter) + 1 }));
    order.querySelector(`[data-token="${letter}"]`)?.focus();
  }

  function digit(number) {
    if (!open) return;
    if (marking && marking !== "letter") {
      const letter = marking;
      marking = null;
      const added = state.mark(letter, number);
      changed(say(added ? "marked" : "unmarked", { letter: upper(letter), ability: ability(number) }));
      return;
    }
    const index = asked ?? state.openBoundary();
    if (state.name(index, number)) {
      asked = null;
      changed(say("named", { ability: ability(number), place: index + 1 }));
      return;
    }
    speak(words.nothing);
    document.getElementById("mode").textContent = words.nothing;
  }

  function leaveMarking() {
    marking = null;
    showCards();
  }

  let sortables = [];

  function letDrag() {
    if (!open || typeof Sortable === "undefined") return;
    const options = { group: "order", draggable: ".token", forceFallback: true, fallbackOnBody: true, animation: 0, delayOnTouchOnly: true, delay: 80, onEnd: takeDragged };
    const boxes = [...order.querySelectorAll("[data-gap], [data-members], [data-unplaced]")];
    sortables.forEach((each) => each.destroy()); // one left on a box that is gone would still catch what is dropped
    sortables = boxes.map((box) => Sortable.create(box, options));
  }

  function takeDragged() {
    const boxes = [...order.querySelectorAll("[data-gap], [data-members]")];
    const groups = boxes.map((box) => [...box.querySelectorAll(".token")].map((each) => each.dataset.token));
    state.rearrange(groups.filter((group) => group.length));
    changed();
  }

  // --- keys ---

  const inText = (target) => target.closest?.("textarea, select, input:not([type=checkbox]):not([type=hidden])");
  const onControl = (target) => target.closest?.("button, a, summary, input, label");
  const letterOf = (event) => (/^[a-z]$/i.test(event.key) ? event.key.toLowerCase() : event.code?.match(/^Key([A-Z])$/)?.[1].toLowerCase());
  const digitOf = (event) => Number(event.code?.match(/^(?:Digit|Numpad)([1-9])$/)?.[1] || 0);

  function onKey(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || inText(event.target)) return;
    if (event.key === "Enter") {
      if (!onControl(event.target)) { event.preventDefault(); submit(); }
      return;
    }
    if (localStorage.getItem("keys") === "off") return;
    if (handle(event)) event.preventDefault();
  }

  function handle(event) {
    const letter = letterOf(event);
    if (event.key === "Escape") { leaveMarking(); return true; }
    if (letters.includes(letter)) {
      if (marking === "letter") { marking = letter; showCards(); } else act(event.shiftKey ? "tie" : "place", letter);
      return true;
    }
    if (digitOf(event) && !event.shiftKey) { digit(digitOf(event)); return true; }
    if (event.key === "+" || event.code === "NumpadAdd" || event.code === "Equal") { if (state.clearly()) changed(); return true; }
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      const focused = event.target.closest?.("[data-token]");
      if (focused) move(focused.dataset.token, event.key === "ArrowLeft" ? -1 : 1);
      return Boolean(focused);
    }
    if (event.key === "Backspace" || letter === "z") { undo(); return true; }
    if (letter === "f") { marking = "letter"; showCards(); return true; }
    if (letter === "n") { toggleNone(); return true; }
    if (letter === "u") { document.getElementById("cannot").showModal(); return true; }
    if (letter === "x") { mend(); return true; }
    if (letter === "v") { view(); return true; }
    if (event.key === "?") { document.getElementById("help").showModal(); return true; }
    return false;
  }

  function undo() {
    if (open && state.undo()) changed(words.undone);
  }

  function toggleNone() {
    if (!open) return;
    form.elements.none.checked = !form.elements.none.checked;
    changed();
  }

  function view() {
    const box = document.getElementById("responses");
    localStorage.setItem("view", box.classList.toggle("stacked") ? "stacked" : "grid");
  }

  // --- drafts ---

  let timer = null;
  let saving = false;
  let behind = false;

  function saveSoon() {
    if (!open || behind) return;
    clearTimeout(timer);
    timer = setTimeout(save, 600);
  }

  async function save() {
    if (saving || submitting) { saveSoon(); return; }
    saving = true;
    status(words.saving);
    try {
      const answer = await send(form.dataset.draft);
      if (answer.ok) {
        form.elements.revision.value = (await answer.json()).revision;
        status(say("saved", { time: clock(new Date()) }));
      } else if (answer.status === 409) {
        behind = true;
        status(words.behind);
      } else if (answer.status === 401) {
        logInAgain(save);
      } else {
        away(save);
      }
    } catch {
      away(save);
    } finally {
      saving = false;
    }
  }

  const clock = (time) => `${String(time.getHours()).padStart(2, "0")}:${String(time.getMinutes()).padStart(2, "0")}`;
  const status = (text) => { document.getElementById("saved").textContent = text; };

  function send(path) {
    form.elements.active.value = Math.round(active);
    return fetch(path, { method: "POST", body: new FormData(form), headers: { "HX-Request": "true" }, redirect: "follow" });
  }

  function away(again) {
    document.body.classList.add("offline");
    let seconds = 5;
    const tick = () => {
      status(say("away", { seconds }));
      seconds -= 1;
      if (seconds < 0) { clearInterval(counting); document.body.classList.remove("offline"); again(); }
    };
    tick();
    const counting = setInterval(tick, 1000);
  }

  // --- submission ---

  async function submit() {
    if (!open || submitting) return;
    const confirmation = form.querySelector("[name=confirmed]");
    if (confirmation) confirmation.checked = true;
    submitting = true;
    clearTimeout(timer);
    try {
      const answer = await send(form.action);
      if (answer.ok) { goOn(await answer.json()); return; }
      submitting = false;
      if (answer.status === 401) { logInAgain(submit); return; }
      if (answer.status >= 500) { away(submit); return; }
      showObjections(await answer.text());
    } catch {
      submitting = false;
      away(submit);
    }
  }

  function goOn(told) {
    if (told.late) { location.href = told.next.replace(/next$/, "stored?late=1"); return; }
    post(told.next);
  }

  function post(path) {
    const next = make("form", { method: "post", action: path });
    document.body.append(next);
    next.submit();
  }

  function showObjections(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const found = parsed.getElementById("objections") || parsed.getElementById("refusal");
    if (!found) return;
    const here = document.getElementById("objections");
    if (found.id === "objections") here.replaceWith(document.adoptNode(found));
    else here.replaceChildren(document.adoptNode(found));
    const unnamed = state.openBoundary();
    if (unnamed !== null) { asked = unnamed; showOrder(); }
  }

  function clearObjections() {
    const here = document.getElementById("objections");
    here.replaceChildren();
    delete here.dataset.mend;
  }

  function mend() {
    const told = document.getElementById("objections").dataset.mend;
    if (!open || !told) return;
    state.remember();
    state.read(JSON.parse(told));
    changed();
  }

  function logInAgain(then) {
    const dialog = document.getElementById("again");
    const password = document.getElementById("again-password");
    const problem = document.getElementById("again-problem");
    dialog.showModal();
    dialog.querySelector("form").onsubmit = async (event) => {
      event.preventDefault();
      const body = new URLSearchParams({ login: dialog.querySelector("[name=login]").value, password: password.value, next: "/healthz" });
      const answer = await fetch("/login", { method: "POST", body });
      problem.hidden = answer.ok;
      if (answer.ok) { password.value = ""; dialog.close(); then(); }
    };
  }

  // --- active time: the page is seen and was touched within half a minute ---

  let active = 0;
  let touched = performance.now();
  for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) {
    document.addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
  }
  setInterval(() => {
    if (document.visibilityState === "visible" && performance.now() - touched < 30_000) active += 1;
  }, 1000);

  // --- the page ---

  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-do], [data-boundary], [data-ability], [data-unmark], [data-reason], .response");
    if (!target) return;
    const card = event.target.closest(".response");
    if (target.dataset.boundary !== undefined) { asked = Number(target.dataset.boundary); showOrder(); return; }
    if (target.dataset.ability) { digit(Number(target.dataset.ability)); return; }
    if (target.dataset.unmark) { state.mark(card.dataset.letter, Number(target.dataset.unmark)); changed(); return; }
    if (target.dataset.reason) { document.getElementById("reason").value = target.dataset.reason; return; }
    if (marking === "letter" && card) { marking = card.dataset.letter; showCards(); return; }
    const does = {
      place: () => { act("place", card.dataset.letter); event.target.blur(); },
      mark: () => { marking = card.dataset.letter; showCards(); },
      help: () => document.getElementById("help").showModal(),
      cannot: () => document.getElementById("cannot").showModal(),
      close: () => target.closest("dialog").close(),
      view, mend,
    }[target.dataset.do];
    if (does) does();
  });
  order.addEventListener("focusin", (event) => {
    const boundary = event.target.closest("[data-boundary]");
    if (!boundary || asked === Number(boundary.dataset.boundary)) return;
    asked = Number(boundary.dataset.boundary);
    order.querySelectorAll(".boundary").forEach((each) => each.classList.toggle("asked", each === boundary));
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  form.elements.none.addEventListener("change", () => changed());
  const keysOff = document.getElementById("keys-off");
  keysOff.checked = localStorage.getItem("keys") === "off";
  keysOff.addEventListener("change", () => localStorage.setItem("keys", keysOff.checked ? "off" : "on"));
  if (localStorage.getItem("view") === "stacked") document.getElementById("responses").classList.add("stacked");

  state.read(readForm());
  state.acts = form.elements.acts.value === "" && !state.unplaced().length ? letters.length : Number(form.elements.acts.value || 0);
  const savedAt = document.getElementById("saved").dataset.savedAt;
  if (savedAt) status(say("saved", { time: clock(new Date(savedAt)) }));
  show();
})();
