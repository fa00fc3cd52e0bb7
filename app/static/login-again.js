// A login that has ended: the password is asked over the page, which stays as it is, and then it goes on from there.
"use strict";

class LoginAgain {
  static waiting = new Map(); // what goes on after the login, once each
  static asking = false; // a login is under way

  // Calls ``then`` once somebody is logged in again, or ``left`` where they leave it be. The same ``who`` waits once.
  static ask(who, then, left) {
    const dialog = document.getElementById("again");
    LoginAgain.waiting.set(who, { then, left });
    dialog.querySelector("form").onsubmit = (event) => { event.preventDefault(); LoginAgain.submitted(dialog); };
    dialog.oncancel = () => LoginAgain.all().forEach((each) => each.left());
    if (!dialog.open) dialog.showModal();
  }

  static async submitted(dialog) {
    if (LoginAgain.asking) return; // a second press
    LoginAgain.asking = true;
    const asked = dialog.querySelector("form");
    const problem = await LoginAgain.logIn(asked, dialog.dataset);
    LoginAgain.asking = false;
    const shown = document.getElementById("again-problem");
    shown.textContent = problem;
    shown.hidden = !problem;
    if (problem) return;
    asked.elements.password.value = "";
    dialog.close();
    LoginAgain.all().forEach((each) => each.then()); // nobody, where the dialog was left meanwhile
  }

  static all() {
    const all = [...LoginAgain.waiting.values()];
    LoginAgain.waiting.clear();
    return all;
  }

  // Why logging in did not work; nothing where it did.
  static async logIn(asked, words) {
    const body = new URLSearchParams({ login: asked.elements.login.value, password: asked.elements.password.value, next: "/healthz" });
    try {
      const answer = await fetch("/login", { method: "POST", body });
      if (answer.ok) return "";
      if (answer.status !== 429) return answer.status < 500 ? words.wrong : words.unreached;
      const seconds = Number(answer.headers.get("retry-after")) || 60;
      return words.toooften.replace("{minutes}", Math.ceil(seconds / 60));
    } catch {
      return words.unreached;
    }
  }
}
