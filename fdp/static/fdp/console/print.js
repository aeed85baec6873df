// The page for paper opens the printer's dialog by its button.

const button = document.getElementById("print");
button.hidden = false;
button.addEventListener("click", () => window.print());
