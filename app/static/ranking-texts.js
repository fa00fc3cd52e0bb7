// How the responses are read: side by side or stacked, long ones clamped or whole, two of them compared.
"use strict";

class RankingTexts {
  constructor(form) {
    this.path = form.dataset.compare;
    this.box = document.getElementById("responses");
    this.cards = [...this.box.querySelectorAll(".response")];
    this.compared = null; // the two letters that are compared
    this.before = new Map(); // their texts as they were
    this.box.classList.toggle("stacked", localStorage.getItem("view") === "stacked");
    this.box.classList.toggle("whole", localStorage.getItem("texts") === "whole");
    new ResizeObserver(() => this.measure()).observe(this.box);
    const talk = document.querySelector(".talk");
    talk.scrollTop = talk.scrollHeight; // a long history is read upwards from the question
  }

  // --- side by side or stacked, clamped or whole; both are remembered ---

  view() {
    localStorage.setItem("view", this.box.classList.toggle("stacked") ? "stacked" : "grid");
    this.measure();
  }

  whole() {
    const whole = this.box.classList.toggle("whole");
    this.cards.forEach((card) => card.classList.remove("open"));
    localStorage.setItem("texts", whole ? "whole" : "clamped");
    this.measure();
  }

  open(card) {
    card.classList.toggle("open");
    this.measure();
  }

  // A text is long where it does not fit into the height that a clamped one has. What is marked is never hidden.
  measure() {
    for (const card of this.cards) {
      const text = card.querySelector(".text");
      const most = parseFloat(getComputedStyle(text).getPropertyValue("--most")) * parseFloat(getComputedStyle(text).lineHeight);
      const inside = document.createRange(); // a card is as high as the one beside it, so its own height tells nothing
      inside.selectNodeContents(text);
      const long = inside.getBoundingClientRect().height > most + 60;
      const shown = text.querySelector("mark") !== null || card.classList.contains("open") || this.box.classList.contains("whole");
      card.classList.toggle("clamped", long && !shown);
      const button = card.querySelector("[data-do=open]");
      button.hidden = !long || this.box.classList.contains("whole") || text.querySelector("mark") !== null;
      button.setAttribute("aria-expanded", String(shown));
      button.textContent = shown ? button.dataset.less : button.dataset.more;
    }
  }

  // --- comparing ---

  async compare(first, second) {
    this.leave();
    const answer = await fetch(`${this.path}?of=${first}${second}`, { headers: { "HX-Request": "true" } }).catch(() => null);
    if (!answer?.ok) return false;
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    const pair = [first, second];
    this.compared = pair;
    for (const letter of pair) {
      const card = this.card(letter);
      const text = card.querySelector(".text");
      this.before.set(letter, [...text.childNodes]);
      text.replaceChildren(...[...parsed.querySelector(`[data-letter="${letter}"]`).childNodes].map((node) => document.adoptNode(node)));
      card.classList.add("compared");
    }
    this.box.prepend(...pair.map((letter) => this.card(letter)));
    this.box.classList.add("comparing");
    this.box.scrollIntoView({ block: "nearest" });
    this.measure();
    return true;
  }

  // The texts as they were, each card in its place.
  leave() {
    if (!this.compared) return false;
    for (const [letter, nodes] of this.before) this.card(letter).querySelector(".text").replaceChildren(...nodes);
    this.cards.forEach((card) => card.classList.remove("compared"));
    this.box.append(...this.cards);
    this.box.classList.remove("comparing");
    this.before.clear();
    this.compared = null;
    this.measure();
    return true;
  }

  card(letter) {
    return this.cards.find((card) => card.dataset.letter === letter);
  }
}
