// Sends a data set's zip in one stream and says how far it is.

const form = document.getElementById("send-zip");
const told = document.getElementById("sending");
const mb = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function say(kind, text) {
  const line = document.createElement("p");
  line.className = kind;
  if (kind === "wrong") line.setAttribute("role", "alert");
  line.textContent = text;
  told.replaceChildren(line);
}

function bar(total) {
  const label = document.createElement("label");
  const text = document.createElement("span");
  const progress = document.createElement("progress");
  progress.max = total;
  progress.value = 0;
  label.append(text, progress);
  const stop = document.createElement("button");
  stop.type = "button";
  stop.className = "quiet";
  stop.textContent = "Stop sending";
  told.replaceChildren(label, stop);
  return { text, progress, stop };
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const file = form.elements.zip.files[0];
  if (!file) return say("wrong", "Choose a zip first.");
  if (file.size > form.dataset.gb * 1e9) return say("wrong", `${file.name} has ${(file.size / 1e9).toFixed(2)} GB, at most ${form.dataset.gb} GB are taken. Name a folder that is on this machine already.`);
  const button = form.querySelector("button");
  const request = new XMLHttpRequest();
  const { text, progress, stop } = bar(file.size);
  button.disabled = true;
  stop.addEventListener("click", () => request.abort());
  request.upload.addEventListener("progress", ({ loaded }) => {
    progress.value = loaded;
    text.textContent = `${mb(loaded)} of ${mb(file.size)} sent`;
  });
  request.addEventListener("load", () => {
    if (request.status === 201) window.location.assign(request.responseText);
    else say("wrong", request.responseText || "It was not taken. Load this page again and repeat.");
  });
  request.addEventListener("error", () => say("wrong", "The connection broke. Nothing was kept; send it again."));
  request.addEventListener("abort", () => say("said", "Stopped. Nothing was kept."));
  request.addEventListener("loadend", () => { button.disabled = false; });
  request.open("POST", form.dataset.to);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.setRequestHeader("X-CSRF-Token", document.body.dataset.csrf);
  request.setRequestHeader("X-Name", encodeURIComponent(form.elements.name.value));
  request.send(file);
});
