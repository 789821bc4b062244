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
  if ("copy" in button.dataset) copy(tradesOf(document.getElementById(button.dataset.copy)), button);
});

// The trades of all portfolios on the page as one table: a header, and the portfolio in front of each trade.
function tradesOf(report) {
  const lines = [];
  for (const portfolio of report.children) {
    const name = portfolio.querySelector("h2")?.innerText ?? "";
    for (const row of portfolio.querySelectorAll(".trades tr")) {
      const isHeader = row.parentElement.tagName === "THEAD";
      if (isHeader && lines.length) continue;
      lines.push([isHeader ? "Portfolio" : name, ...[...row.cells].map((cell) => cell.innerText)].join("\t"));
    }
  }
  return lines.join("\n");
}

async function copy(text, button) {
  let copied = true;
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(text).catch(() => { copied = false; });
  } else {
    // Browsers have a clipboard only over HTTPS; services of a cluster are often reached over HTTP.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = copied ? "Copied" : "The browser does not allow copying: use the CSV";
}
