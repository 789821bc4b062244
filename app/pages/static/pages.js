// Progressive enhancement only: every page works without this file.
"use strict";
document.addEventListener("submit", (event) => {
  const button = event.submitter;
  if (event.target.method === "post" && button) {
    // The form is already on its way; a second click must not send it again.
    setTimeout(() => { button.disabled = true; }, 0);
  }
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("print" in button.dataset) window.print();
  if ("copy" in button.dataset) {
    const rows = document.querySelectorAll(`#${button.dataset.copy} .trades tr`);
    const text = [...rows].map((row) => [...row.cells].map((cell) => cell.innerText).join("\t")).join("\n");
    navigator.clipboard.writeText(text).then(() => { button.textContent = "Copied"; });
  }
});
