// Copies what a button names; for secrets that are shown once.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const done = () => { button.textContent = "Copied"; };
  if (navigator.clipboard) {
    navigator.clipboard.writeText(button.dataset.copy).then(done);
    return;
  }
  // Without HTTPS the clipboard is out of reach: select the text, for the user to copy.
  const range = document.createRange();
  range.selectNodeContents(button.previousElementSibling);
  getSelection().removeAllRanges();
  getSelection().addRange(range);
});

// What was opened stays open when a page refreshes itself.
document.addEventListener("htmx:beforeSwap", (event) => {
  const old = document.getElementById("inspector");
  if (!old || event.detail.target !== old) return;
  const open = [...old.querySelectorAll("details")].map((each) => each.open);
  document.addEventListener("htmx:afterSwap", () => {
    document.querySelectorAll("#inspector details").forEach((each, index) => {
      if (index in open) each.open = open[index];
    });
  }, { once: true });
});
