// Shows a RankingState: the order at the foot of the page, the cards, the form's fields, what is spoken.
"use strict";

class RankingView {
  constructor(form, state, words) {
    this.form = form;
    this.state = state;
    this.words = words;
    this.order = document.getElementById("order");
    this.onDrop = null; // called with the groups that were dragged together
    this.sortables = [];
  }

  // asked: the boundary that digits name; marking: null, "letter", or the letter whose fault is being marked.
  show({ asked, marking }) {
    this.showOrder(asked);
    this.showCards(marking);
    this.writeForm();
  }

  // --- the order ---

  showOrder(asked) {
    const back = this.focused();
    const { groups, boundaries } = this.state;
    const parts = [this.gap()];
    groups.forEach((group, index) => {
      parts.push(this.group(group, index), index < boundaries.length ? this.gap(this.boundary(boundaries[index], index, asked)) : this.gap());
    });
    const left = this.state.unplaced();
    if (left.length) {
      const rank = RankingView.make("span", { class: "rank" }, this.words.say("unplaced"));
      parts.push(RankingView.make("span", { class: "group unplaced", "data-unplaced": "" }, rank, ...left.map((each) => this.token(each))));
    }
    this.order.replaceChildren(...parts);
    if (back) this.order.querySelector(back)?.focus();
    this.letDrag();
  }

  // What had the keyboard's focus in the order, as a selector; a click leaves none behind.
  focused() {
    const here = document.activeElement;
    if (!this.order.contains(here) || !here.matches(":focus-visible")) return null;
    return here.dataset.token ? `[data-token="${here.dataset.token}"]` : `[data-boundary="${here.dataset.boundary}"]`;
  }

  group(letters, index) {
    const rank = RankingView.make("span", { class: "rank" }, String(index + 1));
    const label = this.words.say("place", { place: index + 1 });
    return RankingView.make("span", { class: "group", role: "group", "aria-label": label, "data-members": "" }, rank, ...letters.map((each) => this.token(each)));
  }

  token(letter) {
    const shortcuts = "ArrowLeft ArrowRight";
    return RankingView.make("button", { type: "button", class: "letter token", "data-token": letter, "aria-keyshortcuts": shortcuts }, letter.toUpperCase());
  }

  // Where a response that is dragged becomes a group of its own; between two groups it is as wide as their boundary.
  gap(...inside) {
    return RankingView.make("span", { class: "gap", "data-gap": "" }, ...inside);
  }

  boundary({ ability, clear }, index, asked) {
    const named = ability ? `named ${this.words.dimension(ability)}` : "";
    const label = `${this.words.say("below", { place: index + 1 })} ${ability ? this.words.ability(ability) : ""} ${clear ? this.words.say("clear") : ""}`;
    const chosen = index === asked ? "asked" : "";
    const button = RankingView.make("button", { type: "button", "data-boundary": index, class: `boundary ${named} ${chosen}`, "aria-label": label });
    button.append(ability ? this.words.numbered(ability) : this.words.say("decides"));
    if (clear) button.append(RankingView.make("span", { class: "clear" }, this.words.say("clear")));
    return button;
  }

  markAsked(asked) {
    this.order.querySelectorAll(".boundary").forEach((each) => each.classList.toggle("asked", Number(each.dataset.boundary) === asked));
  }

  letDrag() {
    if (!this.onDrop || typeof Sortable === "undefined") return;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const options = { group: "order", draggable: ".token", forceFallback: true, fallbackOnBody: true, animation: still ? 0 : 80, delayOnTouchOnly: true, delay: 80, onEnd: () => this.onDrop(this.dragged()) };
    const boxes = [...this.order.querySelectorAll("[data-gap], [data-members], [data-unplaced]")];
    this.sortables.forEach((each) => each.destroy()); // one left on a box that is gone would still catch what is dropped
    this.sortables = boxes.map((box) => Sortable.create(box, options));
  }

  dragged() {
    const boxes = [...this.order.querySelectorAll("[data-gap], [data-members]")];
    return boxes.map((box) => [...box.querySelectorAll(".token")].map((each) => each.dataset.token)).filter((group) => group.length);
  }

  // --- the cards ---

  showCards(marking) {
    for (const card of document.querySelectorAll(".response")) {
      const letter = card.dataset.letter;
      const at = this.state.groupOf(letter);
      card.classList.toggle("placed", at >= 0);
      card.classList.toggle("marking", marking === letter);
      card.querySelector("[data-place]").textContent = at < 0 ? "" : this.words.say("place", { place: at + 1 });
      card.querySelector("[data-faults]").replaceChildren(...[...this.state.marks.get(letter)].sort().map((number) => this.fault(letter, number)));
    }
  }

  fault(letter, number) {
    const label = this.words.say("unmark", { letter: letter.toUpperCase(), ability: this.words.ability(number) });
    return RankingView.make("button", { type: "button", class: `fault ${this.words.dimension(number)}`, "data-unmark": number, "aria-label": label, title: label }, this.words.numbered(number));
  }

  // --- the form ---

  writeForm() {
    for (const [name, value] of Object.entries(this.state.fields())) {
      const field = this.form.elements[name];
      if (Array.isArray(value)) [...field.options].forEach((option) => { option.selected = value.includes(option.value); });
      else field.value = value;
    }
    this.form.elements.acts.value = this.state.acts;
  }

  readForm() {
    const fields = {};
    for (const letter of this.state.letters) {
      fields[`place-${letter}`] = this.form.elements[`place-${letter}`].value;
      fields[`fault-${letter}`] = [...this.form.elements[`fault-${letter}`].selectedOptions].map((option) => option.value);
    }
    for (let i = 1; i < this.state.letters.length; i += 1) {
      fields[`ability-${i}`] = this.form.elements[`ability-${i}`].value;
      fields[`strength-${i}`] = this.form.elements[`strength-${i}`].value;
    }
    return fields;
  }

  // --- what is said ---

  // The same sentence twice in a row is spoken twice: a space that is not seen makes it another one.
  speak(text) {
    const spoken = document.getElementById("spoken");
    spoken.textContent = spoken.textContent === text ? `${text}\u00a0` : text;
  }

  mode(text) {
    document.getElementById("mode").textContent = text;
  }

  status(text) {
    document.getElementById("saved").textContent = text;
  }

  // What keeps the ranking from being submitted, or why the server refused it.
  objections(html) {
    const parsed = new DOMParser().parseFromString(html, "text/html");
    const found = parsed.getElementById("objections") || parsed.getElementById("refusal");
    if (!found) return;
    const here = document.getElementById("objections");
    if (found.id === "objections") here.replaceWith(document.adoptNode(found));
    else here.replaceChildren(document.adoptNode(found));
  }

  clearObjections() {
    const here = document.getElementById("objections");
    here.replaceChildren();
    delete here.dataset.mend;
  }

  static make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }
}
