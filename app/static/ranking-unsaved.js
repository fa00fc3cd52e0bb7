// What was entered and has not arrived as a draft yet: a page that is loaded again in that moment takes it up.
"use strict";

class RankingUnsaved {
  static BESIDE = ["key", "window", "revision", "active", "acts", "confirmed"]; // what is sent beside the ranking

  constructor(form) {
    this.form = form;
  }

  // The ranking in what is sent.
  static judged(content) {
    const ranking = new URLSearchParams(content);
    RankingUnsaved.BESIDE.forEach((name) => ranking.delete(name));
    return ranking.toString();
  }

  keep(content) {
    sessionStorage.setItem("unsaved", JSON.stringify({ of: this.of(), content: content.toString() }));
  }

  // Nothing to keep any more, unless something was changed meanwhile.
  arrived(content) {
    const kept = this.kept();
    if (kept && RankingUnsaved.judged(kept) === RankingUnsaved.judged(content)) this.forget();
  }

  forget() {
    sessionStorage.removeItem("unsaved");
  }

  // Writes what was kept into the form; says whether there was anything. What another window has saved or submitted
  // meanwhile stands: then nothing is taken up.
  takeUp() {
    const kept = this.kept();
    if (!kept) return false;
    const before = kept.get("revision");
    const { revision, window } = this.form.elements;
    if (before !== revision.value && this.form.dataset.savedBy !== window.value) return false;
    const own = ["key", "round", "window", "revision", "confirmed"];
    [...this.form.elements].filter((field) => field.name && !own.includes(field.name)).forEach((field) => RankingUnsaved.write(field, kept));
    return true;
  }

  static write(field, content) {
    const told = content.getAll(field.name);
    if (field.options) [...field.options].forEach((option) => { option.selected = told.includes(option.value); });
    else if (field.type === "checkbox") field.checked = told.includes(field.value);
    else field.value = told[0] ?? "";
  }

  // The turn, how often its ranking was submitted, and the round that was revealed, which has letters of its own.
  of() {
    return `${this.form.action} ${this.form.dataset.submitted} ${this.form.elements.round?.value ?? ""}`;
  }

  kept() {
    const told = JSON.parse(sessionStorage.getItem("unsaved") || "null");
    return told?.of === this.of() ? new URLSearchParams(told.content) : null;
  }
}
