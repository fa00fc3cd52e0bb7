// Marks that script runs, before anything is drawn, and closes the menu under one's name.
document.documentElement.classList.replace("nojs", "js");

// As menus close: by a click beside it, and by Escape.
addEventListener("click", (event) => {
  const menu = document.querySelector("details.menu[open]");
  if (menu && !menu.contains(event.target)) menu.open = false;
});
addEventListener("keydown", (event) => {
  const menu = document.querySelector("details.menu[open]");
  if (!menu || event.key !== "Escape") return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
