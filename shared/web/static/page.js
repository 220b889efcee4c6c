// What every page does: says when the machine does not answer. Behaviour of one page stands in its own file.

const message = document.getElementById("message");

let unanswered = null; // the line that says so, until there is an answer again

function say(text) {
  const line = document.createElement("p");
  line.className = "wrong";
  line.setAttribute("role", "alert");
  line.textContent = text;
  message.replaceChildren(line);
  return line;
}

// What a person opened stays open when its part of the page is drawn again.
window.Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) => name !== "open" || element.localName !== "details";

document.body.addEventListener("htmx:sendError", () => {
  if (!unanswered?.isConnected) unanswered = say("The machine that serves this page does not answer. It is asked again.");
});
document.body.addEventListener("htmx:afterOnLoad", () => unanswered?.remove());
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) event.detail.shouldSwap = event.detail.xhr.getResponseHeader("HX-Retarget") !== null;
});
