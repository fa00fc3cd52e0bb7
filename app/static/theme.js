// Marks that script runs, before anything is drawn.
document.documentElement.classList.replace("nojs", "js");
