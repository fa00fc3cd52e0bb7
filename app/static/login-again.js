// A login that has ended: the password is asked over the page, which stays as it is, and then it goes on from there.
"use strict";

class LoginAgain {
  // Calls ``then`` once somebody is logged in again, or ``left`` where they leave it be.
  static ask(then, left) {
    const dialog = document.getElementById("again");
    const asked = dialog.querySelector("form");
    if (!dialog.open) dialog.showModal();
    asked.onsubmit = async (event) => {
      event.preventDefault();
      const problem = await LoginAgain.logIn(asked, dialog.dataset);
      const shown = document.getElementById("again-problem");
      shown.textContent = problem;
      shown.hidden = !problem;
      if (problem) return;
      asked.elements.password.value = "";
      dialog.close();
      then();
    };
    dialog.oncancel = left;
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
