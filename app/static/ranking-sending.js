// Everything that leaves the page: drafts, the submission, a turn handed back. Nothing that was entered is ever lost.
"use strict";

class RankingSending {
  constructor(form, words, view) {
    this.form = form;
    this.words = words;
    this.view = view;
    form.elements.window.value = RankingSending.windowId();
    this.unsaved = new RankingUnsaved(form);
    this.active = new ActiveTime(Number(form.elements.active.value) || 0);
    this.saving = false;
    this.submitting = false;
    this.behind = false; // another window is further on
    this.attempted = null; // what was last sent under the form's key
    this.wanted = false; // Enter was pressed while a submission was on its way
    this.retries = new Map(); // what is tried again once the server is reached, each kind once
    this.onRefused = () => {};
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => { if (document.visibilityState === "hidden" && this.timer) this.save(); });
  }

  // --- drafts ---

  saveSoon() {
    if (this.behind) return;
    this.unsaved.keep(this.content());
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), 600);
  }

  async save() {
    if (this.saving || this.submitting) { this.saveSoon(); return; }
    clearTimeout(this.timer);
    this.timer = null;
    this.saving = true;
    this.view.status(this.words.say("saving"));
    const content = this.content();
    const answer = await this.send("draft", this.form.dataset.draft, content, () => this.save());
    this.saving = false;
    if (!answer) return;
    if (answer.ok) {
      this.unsaved.arrived(content);
      this.form.elements.revision.value = (await answer.json()).revision;
      this.view.status(this.words.say("saved", { time: RankingWords.clock(new Date()) }));
    } else if (answer.status === 409) {
      this.behind = true;
      this.view.status(this.words.say("behind"));
    } else {
      this.view.status("");
      this.view.objections(await answer.text());
    }
  }

  // --- submission ---

  async submit() {
    if (this.submitting) {
      if (this.retries.has("ranking")) this.again();
      else this.wanted = true;
      return;
    }
    this.forget(); // a draft that waits to be sent again holds the same
    const confirmation = this.form.querySelector("[name=confirmed]");
    if (confirmation) confirmation.checked = true;
    this.submitting = true;
    clearTimeout(this.timer);
    this.timer = null;
    this.keyForContent();
    this.view.speak(this.words.say("submitting"));
    const answer = await this.send("ranking", this.form.action, this.content(), () => { this.submitting = false; this.submit(); });
    if (!answer) return;
    if (this.wantedAnother()) { this.submitting = false; this.submit(); return; }
    if (answer.ok) { this.goOn(await answer.json()); return; }
    this.submitting = false;
    this.saveSoon(); // the draft that waited for the submission is still to be saved
    this.onRefused(await answer.text());
  }

  // The same key for the same content, however often it is sent. What was changed since is a submission of its own:
  // the first may have arrived though its answer was lost, and then this one corrects it.
  keyForContent() {
    const now = RankingUnsaved.judged(this.content());
    if (this.attempted !== null && this.attempted !== now) {
      this.form.elements.key.value = RankingSending.random();
    }
    this.attempted = now;
  }

  // What was changed and submitted while the answer was awaited is submitted now, whatever the answer says.
  wantedAnother() {
    const wanted = this.wanted && this.attempted !== RankingUnsaved.judged(this.content());
    this.wanted = false;
    return wanted;
  }

  async handBack(path, reason) {
    this.forget();
    this.submitting = false;
    const answer = await this.send("back", path, new URLSearchParams({ reason }), () => this.handBack(path, reason));
    if (!answer) return;
    if (!answer.ok) { this.view.objections(await answer.text()); return; }
    LastRanking.keep(null);
    this.unsaved.forget();
    RankingSending.post((await answer.json()).next);
  }

  goOn(told) {
    this.unsaved.forget();
    if (told.late) { location.href = told.next.replace(/next$/, "stored?late=1"); return; }
    if (told.back) { location.href = told.back; return; }
    LastRanking.keep(location.pathname);
    RankingSending.post(told.next);
  }

  static random() {
    return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  // A page that is loaded again is the same window, which its own last save, still on its way then, must not outrun.
  static windowId() {
    const again = performance.getEntriesByType("navigation")[0]?.type === "reload";
    const id = (again && sessionStorage.getItem("window")) || RankingSending.random();
    sessionStorage.setItem("window", id);
    return id;
  }

  static post(path) {
    const next = document.createElement("form");
    next.method = "post";
    next.action = path;
    document.body.append(next);
    next.submit();
  }

  // --- the way to the server ---

  content() {
    this.form.elements.active.value = Math.round(this.active.seconds);
    return new URLSearchParams(new FormData(this.form));
  }

  // The answer; null where there is none yet and ``again`` will be called. A draft is kept alive: it arrives though the
  // page is left meanwhile. It is not sent again beside a submission, which holds the same and is itself sent again.
  async send(kind, path, body, again) {
    const keepalive = kind === "draft";
    let answer = null;
    try {
      answer = await fetch(path, { method: "POST", body, headers: { "HX-Request": "true" }, keepalive });
    } catch { /* nobody was reached */ }
    if (answer !== null && answer.status !== 401 && answer.status < 500) return answer;
    if (keepalive && this.submitting) return null;
    if (answer?.status === 401) this.logInAgain(kind, again);
    else this.away(kind, again);
    return null;
  }

  away(kind, again) {
    this.retries.set(kind, again);
    document.body.classList.add("offline");
    this.view.speak(this.words.say("away", { seconds: 5 }));
    let seconds = 5;
    clearInterval(this.counting);
    const tick = () => {
      this.view.status(this.words.say("away", { seconds }));
      seconds -= 1;
      if (seconds < 0) this.again();
    };
    tick();
    this.counting = setInterval(tick, 1000);
  }

  again() {
    this.forget().forEach((then) => then());
  }

  // Nothing is tried again any more; returns what would have been.
  forget() {
    clearInterval(this.counting);
    document.body.classList.remove("offline");
    const all = [...this.retries.values()];
    this.retries.clear();
    return all;
  }

  // --- a login that has ended: the password is asked over the form, which stays as it is ---

  logInAgain(kind, then) {
    this.view.status("");
    LoginAgain.ask(kind, then, () => { this.submitting = false; this.view.status(this.words.say("loggedout")); });
  }
}

// The seconds in which the page is seen and was touched within half a minute.
class ActiveTime {
  constructor(seconds) {
    this.seconds = seconds;
    let touched = performance.now();
    for (const kind of ["keydown", "pointerdown", "pointermove", "wheel", "touchstart"]) {
      document.addEventListener(kind, () => { touched = performance.now(); }, { passive: true });
    }
    setInterval(() => {
      if (document.visibilityState === "visible" && performance.now() - touched < 30_000) this.seconds += 1;
    }, 1000);
  }
}
