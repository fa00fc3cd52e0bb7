// The sentences of the page, which the server wrote into it in the language that was chosen.
"use strict";

class RankingWords {
  constructor(element) {
    this.told = element.dataset;
  }

  say(key, parts = {}) {
    return this.told[key].replace(/\{(\w+)\}/g, (_, name) => parts[name]);
  }

  ability(number) {
    return this.told[`ability-${number}`];
  }

  dimension(number) {
    return this.told[`dimension-${number}`];
  }

  numbered(number) {
    return `${"①②③④⑤⑥⑦⑧⑨"[number - 1]} ${this.ability(number)}`;
  }

  static clock(time) {
    return `${String(time.getHours()).padStart(2, "0")}:${String(time.getMinutes()).padStart(2, "0")}`;
  }
}
