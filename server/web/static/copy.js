// A button with data-copy puts the text of the element so named on the clipboard, and says so.

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const text = document.getElementById(button.dataset.copy);
    const told = document.getElementById("copied");
    try {
      await navigator.clipboard.writeText(text.value);
      told.textContent = "Copied.";
    } catch {
      text.focus();
      text.select();
      told.textContent = "The browser does not allow it. The text is selected: press Ctrl+C.";
    }
  });
}
