// The ranking screen: what each deed does to the state, what is said about it, and what is saved.
"use strict";

class RankingDesk {
  constructor(form, words) {
    const letters = [...document.querySelectorAll(".response")].map((card) => card.dataset.letter).sort();
    this.form = form;
    this.words = words;
    this.state = new RankingState(letters, form.dataset.ties === "yes");
    this.view = new RankingView(form, this.state, words);
    this.texts = new RankingTexts(form);
    this.sending = new RankingSending(form, words, this.view);
    this.sending.onRefused = (html) => this.refused(html);
    this.open = form.dataset.open === "yes";
    if (this.open) this.view.onDrop = (groups) => this.dropped(groups);
    this.asked = null; // the boundary that digits name, if one was chosen
    this.marking = null; // null, "letter", or the letter whose fault is being marked
    this.comparing = null; // null, or the letters chosen so far
    this.wayBack = null; // to the ranking submitted a moment ago, until something is done here
    this.mended = null; // the mend that was taken, until something else is done
  }

  begin() {
    const late = this.open && this.sending.unsaved.takeUp();
    this.state.read(this.view.readForm());
    const told = this.form.elements.acts.value;
    this.state.acts = told === "" && !this.state.unplaced().length ? this.state.letters.length : Number(told || 0);
    this.show();
    const savedAt = document.getElementById("saved").dataset.savedAt;
    if (savedAt) this.view.status(this.words.say("saved", { time: RankingWords.clock(new Date(savedAt)) }));
    if (late) this.sending.saveSoon();
    this.wayBack = LastRanking.tell(document.querySelector("[data-last]"), (text) => this.view.speak(text));
  }

  show() {
    this.view.show({ asked: this.asked ?? this.state.openBoundary(), marking: this.marking });
    this.view.mode(this.modeText());
  }

  modeText() {
    if (this.comparing) return this.words.say(this.comparing.length ? "comparesecond" : "comparefirst", { letter: this.comparing[0]?.toUpperCase() });
    if (this.marking === "letter") return this.words.say("markletter");
    return this.marking ? this.words.say("markability", { letter: this.marking.toUpperCase() }) : "";
  }

  // A boundary that was chosen is forgotten where the order may be another one now.
  changed(text, asked = null) {
    this.asked = asked;
    if (this.wayBack) LastRanking.keyGone(document.querySelector("[data-last]"));
    this.wayBack = null;
    this.mended = null;
    if (text) this.view.speak(text);
    this.view.clearObjections();
    this.show();
    this.sending.saveSoon();
  }

  // --- placing ---

  letter(letter, shift) {
    if (this.comparing) this.choose(letter);
    else if (this.marking === "letter") { this.marking = letter; this.say(this.words.say("markability", { letter: letter.toUpperCase() })); }
    else if (shift) this.tie(letter);
    else this.place(letter);
    return true;
  }

  place(letter) {
    if (this.open && this.state.place(letter)) this.changed(this.told("placed", letter));
  }

  tie(letter) {
    if (!this.open) return;
    if (this.state.tie(letter)) this.changed(this.told("tied", letter));
    else if (!this.state.tiesAllowed) this.say(this.words.say("noties"));
  }

  move(letter, step) {
    if (this.open && this.state.move(letter, step)) this.changed(this.told("moved", letter));
  }

  dropped(groups) {
    if (this.state.rearrange(groups)) this.changed(this.words.say("order", { order: this.orderText() }));
    else this.show();
  }

  // What was done with a response; that the last one fell into place is said with it.
  told(key, letter) {
    const sentence = this.words.say(key, { letter: letter.toUpperCase(), place: this.state.groupOf(letter) + 1 });
    return this.state.unplaced().length ? sentence : `${sentence}. ${this.words.say("order", { order: this.orderText() })}`;
  }

  orderText() {
    return this.state.groups.map((group) => group.map((each) => each.toUpperCase()).join(" = ")).join(" > ");
  }

  say(text) {
    this.view.speak(text);
    this.show();
    this.view.mode(this.modeText() || text);
  }

  // --- abilities and faults ---

  digit(number, shift) {
    if (!this.open) return true;
    if (this.marking && this.marking !== "letter") this.mark(this.marking, number);
    else this.name(number, shift);
    return true;
  }

  name(number, clear) {
    const index = this.asked ?? this.state.openBoundary();
    if (!this.state.name(index, number, clear)) { this.say(this.words.say("nothing")); return; }
    const tabbed = this.view.focused()?.startsWith("[data-boundary"); // then the focus goes on to the next one
    const next = this.state.openBoundary() ?? index;
    const sentence = this.words.say("named", { ability: this.words.ability(number), place: index + 1 });
    this.changed(clear ? `${sentence}, ${this.words.say("clear")}` : sentence);
    if (tabbed) this.view.order.querySelector(`[data-boundary="${next}"]`).focus();
  }

  clearly() {
    if (this.open && this.state.clearly()) this.changed(this.words.say("clear"));
    return true;
  }

  ask(index) {
    this.asked = index;
    this.view.markAsked(index);
  }

  startMarking(letter = "letter") {
    if (!this.open) return;
    this.comparing = null;
    this.marking = letter;
    this.say(this.modeText());
  }

  mark(letter, number) {
    this.marking = null;
    const added = this.state.mark(letter, number);
    this.changed(this.words.say(added ? "marked" : "unmarked", { letter: letter.toUpperCase(), ability: this.words.ability(number) }), this.asked);
  }

  // --- comparing ---

  startComparing() {
    if (this.texts.leave()) { this.comparing = null; this.show(); return; }
    this.marking = null;
    this.comparing = this.comparing ? null : [];
    this.say(this.modeText());
  }

  async choose(letter) {
    if (this.comparing.includes(letter)) return;
    this.comparing.push(letter);
    if (this.comparing.length < 2) { this.say(this.modeText()); return; }
    const [first, second] = this.comparing;
    this.comparing = null;
    const parts = { first: first.toUpperCase(), second: second.toUpperCase() };
    const done = await this.texts.compare(first, second);
    this.say(this.words.say(done ? "compared" : "unreached", parts));
  }

  // --- the rest ---

  leave() {
    this.texts.leave();
    this.comparing = null;
    this.marking = null;
    this.show();
    return true;
  }

  // A mend that was taken back can be taken again.
  undo() {
    const mended = this.mended;
    if (!this.open || !this.state.undo()) return;
    this.changed(this.words.say("undone"));
    if (mended) document.getElementById("objections").dataset.mend = mended;
  }

  // Takes back the last step; before the first one it leads to the ranking that was submitted a moment ago.
  back() {
    if (this.wayBack) location.href = this.wayBack;
    else this.undo();
    return true;
  }

  toggleNone() {
    if (!this.open) return;
    this.form.elements.none.checked = !this.form.elements.none.checked;
    this.noneChanged();
  }

  noneChanged() {
    this.changed(this.words.say(this.form.elements.none.checked ? "none" : "notnone"));
  }

  cannot() {
    if (this.open) document.getElementById("cannot").showModal();
  }

  help() {
    document.getElementById("help").showModal();
    return true;
  }

  mend(told = document.getElementById("objections").dataset.mend) {
    if (!this.open || !told) return;
    this.state.take(JSON.parse(told));
    this.changed(`${this.words.say("mended")} ${this.words.say("order", { order: this.orderText() })}`);
    this.mended = told;
  }

  submit() {
    if (this.open) this.sending.submit();
  }

  refused(html) {
    this.view.objections(html);
    this.asked = null;
    this.show();
  }
}

(() => {
  const form = document.getElementById("ranking");
  const desk = new RankingDesk(form, new RankingWords(document.getElementById("words")));
  const clicks = {
    place: (card) => { desk.letter(card.dataset.letter, false); },
    mark: (card) => desk.startMarking(card.dataset.letter),
    open: (card) => desk.texts.open(card),
    help: () => desk.help(),
    cannot: () => desk.cannot(),
    close: (_, target) => target.closest("dialog").close(),
    view: () => desk.texts.view(),
    compare: () => desk.startComparing(),
    mend: (_, target) => desk.mend(target.dataset.mend),
  };

  function clicked(event) {
    const card = event.target.closest(".response");
    const target = event.target.closest("[data-do], [data-boundary], [data-ability], [data-unmark], [data-reason]");
    if (!target) {
      if (card && (desk.comparing || desk.marking === "letter")) desk.letter(card.dataset.letter, false);
      return;
    }
    const { boundary, ability, unmark, reason } = target.dataset;
    if (boundary !== undefined) desk.ask(Number(boundary));
    else if (ability) desk.digit(Number(ability), event.shiftKey);
    else if (unmark && desk.open) desk.mark(card.dataset.letter, Number(unmark));
    else if (reason) giveReason(target);
    else clicks[target.dataset.do]?.(card, target);
    if (event.detail) target.blur(); // after a click of the mouse Enter submits, as before it
  }

  function giveReason(button) {
    document.getElementById("reason").value = button.dataset.reason;
    button.closest("form").querySelector(".primary").focus();
  }

  document.addEventListener("click", clicked);
  desk.view.order.addEventListener("focusin", (event) => {
    const boundary = event.target.closest("[data-boundary]");
    if (boundary) desk.ask(Number(boundary.dataset.boundary));
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); desk.submit(); });
  form.elements.none.addEventListener("change", () => desk.noneChanged());
  const handing = document.querySelector("#cannot form");
  handing.addEventListener("submit", (event) => {
    event.preventDefault();
    handing.closest("dialog").close();
    desk.sending.handBack(handing.action, handing.elements.reason.value);
  });
  const keysOff = document.getElementById("keys-off");
  keysOff.checked = RankingKeys.switchedOff();
  keysOff.addEventListener("change", () => localStorage.setItem("keys", keysOff.checked ? "off" : "on"));
  new RankingKeys(desk);
  desk.begin();
})();
