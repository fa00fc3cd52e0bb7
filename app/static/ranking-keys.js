// Which key means what. Letters are responses, digits are abilities; everything else is one key a deed.
"use strict";

class RankingKeys {
  constructor(desk) {
    this.desk = desk;
    this.letters = desk.state.letters;
    this.deeds = {
      f: () => desk.startMarking(),
      n: () => desk.toggleNone(),
      u: () => desk.cannot(),
      x: () => desk.mend(),
      v: () => desk.texts.view(),
      m: () => desk.texts.whole(),
      w: () => desk.startComparing(),
      z: () => desk.undo(),
    };
    document.addEventListener("keydown", (event) => this.pressed(event));
  }

  static switchedOff() {
    return localStorage.getItem("keys") === "off";
  }

  pressed(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || RankingKeys.inText(event.target)) return;
    if (event.key === "Enter") {
      if (RankingKeys.onControl(event.target)) return;
      event.preventDefault();
      if (!event.repeat) this.desk.submit(); // a key held down confirms nothing
      return;
    }
    if (RankingKeys.switchedOff()) return;
    if (this.handled(event)) event.preventDefault();
  }

  handled(event) {
    const letter = RankingKeys.letterOf(event);
    const digit = Number(event.code?.match(/^(?:Digit|Numpad)([1-9])$/)?.[1] || 0);
    if (event.key === "Escape") return this.desk.leave();
    if (event.key === "?") return this.desk.help();
    if (event.key === "Backspace") return this.desk.back();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") return this.arrow(event);
    if (event.key === "+" || event.code === "NumpadAdd" || event.code === "Equal") return this.desk.clearly();
    if (digit) return this.desk.digit(digit, event.shiftKey);
    if (this.letters.includes(letter)) return this.desk.letter(letter, event.shiftKey);
    this.deeds[letter]?.();
    return letter in this.deeds;
  }

  arrow(event) {
    const focused = event.target.closest?.("[data-token]");
    if (focused) this.desk.move(focused.dataset.token, event.key === "ArrowLeft" ? -1 : 1);
    return Boolean(focused);
  }

  static letterOf(event) {
    const letter = /^[a-z]$/i.test(event.key) ? event.key : event.code?.match(/^Key([A-Z])$/)?.[1];
    return letter?.toLowerCase();
  }

  // A dialog that was closed keeps the focus until the page is next drawn; a key pressed before that is not meant for it.
  static inText(target) {
    return target.closest?.("textarea, select, input:not([type=checkbox]):not([type=hidden])")?.checkVisibility();
  }

  static onControl(target) {
    return target.closest?.("button, a, summary, input, label")?.checkVisibility();
  }
}
