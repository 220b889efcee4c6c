// What every page does: says when the machine does not answer. Behaviour of one page stands in its own file.

const message = document.getElementById("message");

function say(text) {
  const line = document.createElement("p");
  line.className = "wrong";
  line.setAttribute("role", "alert");
  line.textContent = text;
  message.replaceChildren(line);
}

document.body.addEventListener("htmx:sendError", () => say("The machine that serves this page does not answer. It is asked again."));
document.body.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status >= 400) event.detail.shouldSwap = event.detail.xhr.getResponseHeader("HX-Retarget") !== null;
});
