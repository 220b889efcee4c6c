// The page Upload: what is dropped or chosen is sent a file a request, with progress; then the form is sent.
// Without this script the form sends files and history at once.

const form = document.getElementById("upload");
if (form) start(form);

function start(form) {
  const AT_ONCE = 3;
  const rows = document.getElementById("rows");
  const text = document.getElementById("progress-text");
  const bar = document.getElementById("progress");
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  const files = document.getElementById("files");
  const folder = document.getElementById("folder");
  const drop = document.getElementById("drop");
  const csrf = document.body.dataset.csrf;
  const limit = { file: Number(form.dataset.fileBytes), batch: Number(form.dataset.batchBytes), files: Number(form.dataset.batchFiles) };
  const groups = new Map(); // what the person chose, by its name: { items: [{ file, path, sent, done, refused }], row }
  const running = new Set();
  let upload = null;
  let sending = false;

  for (const element of document.querySelectorAll(".needs-script")) element.hidden = false;
  files.required = false;
  document.getElementById("chosen").hidden = true;

  files.addEventListener("change", () => { for (const file of files.files) add(file, file.name); files.value = ""; show(); });
  folder.addEventListener("change", () => { for (const file of folder.files) add(file, file.webkitRelativePath || file.name); folder.value = ""; show(); });
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", async (event) => {
    event.preventDefault();
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    for (const entry of entries) await walk(entry, "");
    show();
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); if (!sending) go(); });
  stop.addEventListener("click", halt);
  addEventListener("beforeunload", (event) => { if (sending) event.preventDefault(); });

  async function walk(entry, place) {
    if (entry.isFile) {
      const file = await new Promise((done, failed) => entry.file(done, failed)).catch(() => null);
      if (file) add(file, place + entry.name);
      else say(`${place}${entry.name} cannot be opened by the browser.`);
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a browser gives at most a hundred entries at a time
      const inside = await new Promise((done, failed) => reader.readEntries(done, failed)).catch(() => []);
      if (!inside.length) return;
      for (const one of inside) await walk(one, `${place}${entry.name}/`);
    }
  }

  function add(file, path) {
    if (sending) return;
    const name = path.includes("/") ? `${path.split("/")[0]}/` : path;
    if (!groups.has(name)) groups.set(name, { items: [] });
    const items = groups.get(name).items.filter((item) => item.path !== path);
    const refused = file.size > limit.file ? `${path} has ${size(file.size)}, expected at most ${size(limit.file)} a file. Crop it or send it in parts.` : null;
    groups.get(name).items = [...items, { file, path, sent: 0, done: false, refused }];
  }

  const all = () => [...groups.values()].flatMap((group) => group.items);
  const total = (items, of) => items.reduce((sum, item) => sum + of(item), 0);

  function show() {
    document.getElementById("chosen").hidden = groups.size === 0;
    rows.replaceChildren(...[...groups].map(([name, group]) => {
      group.row ??= row(name);
      fill(group);
      return group.row.line;
    }));
  }

  function row(name) {
    const line = document.createElement("tr");
    const head = cell("th", name);
    head.scope = "row";
    const parts = { line, count: cell("td"), bytes: cell("td"), state: cell("td"), take: cell("td") };
    parts.count.className = parts.bytes.className = "number";
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "quiet", textContent: "Take away" });
    button.setAttribute("aria-label", `Take away ${name}`);
    button.addEventListener("click", () => { if (!sending) { groups.delete(name); show(); files.focus(); } });
    parts.take.append(button);
    line.append(head, parts.count, parts.bytes, parts.state, parts.take);
    return parts;
  }

  function fill(group) {
    const { items, row } = group;
    const refused = items.filter((item) => item.refused);
    const done = items.filter((item) => item.done).length;
    const sent = total(items, (item) => item.sent);
    const bytes = total(items, (item) => item.file.size);
    row.count.textContent = items.length;
    row.bytes.textContent = size(bytes);
    let state = "ready";
    if (done + refused.length === items.length && done) state = "sent";
    else if (sent) state = `${Math.floor((100 * sent) / Math.max(bytes, 1))} % sent`;
    if (refused.length === items.length) state = "";
    row.state.replaceChildren(state);
    if (refused.length) {
      const why = document.createElement("p");
      why.className = "wrong";
      why.textContent = `refused${items.length > 1 ? ` (${refused.length} of ${items.length})` : ""}: ${refused[0].refused}`;
      row.state.append(why);
    }
  }

  async function go() {
    const items = all().filter((item) => !item.done && !item.refused);
    const ready = all().filter((item) => item.done);
    if (!items.length && !ready.length) return say("Choose a scan first: a file, a folder or a zip.");
    if (all().length > limit.files || total(all(), (item) => item.file.size) > limit.batch) {
      return say(`One upload takes at most ${limit.files} files and ${size(limit.batch)}. Take some away and send them in another.`);
    }
    working(true);
    try {
      upload ??= (await (await ask("/upload/new")).json()).upload;
      await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        for (let item = items.shift(); item && sending; item = items.shift()) await post(item);
      }));
      if (!sending) return await forget(); // stopped, maybe before the upload had its name
      if (!all().some((item) => item.done)) { await ask(`/upload/${upload}/discard`); upload = null; throw new Error("No file was taken. The table above says why."); }
      text.textContent = "All is sent. The upload is handed over.";
      const fields = new FormData(form);
      fields.delete("files");
      await ask(`/upload/${upload}/finish`, fields);
      upload = null;
      for (const [name, group] of groups) { group.items = group.items.filter((item) => item.refused); if (!group.items.length) groups.delete(name); }
      show();
      form.reset();
      say(groups.size ? "The rest is checked now, then read; see below. Refused files are named above." : "All is sent. It is checked now, then read; see below.");
      document.body.dispatchEvent(new Event("uploaded"));
    } catch (error) {
      say(`${error.message} Press Upload to go on with what is left.`);
    } finally {
      working(false);
    }
  }

  async function ask(path, body = new FormData()) {
    const answer = await fetch(path, { method: "POST", body, headers: { "X-CSRF-Token": csrf, "HX-Request": "true" } }).catch(() => null);
    if (!answer) throw new Error("The machine that serves this page does not answer.");
    if (answer.status === 401) { sending = false; location.assign("/login?ended=true"); }
    if (!answer.ok) throw new Error(new DOMParser().parseFromString(await answer.text(), "text/html").body.textContent.trim());
    return answer;
  }

  function post(item) {
    return new Promise((done, failed) => {
      const request = new XMLHttpRequest();
      running.add(request);
      request.open("POST", "/upload/file");
      for (const [name, value] of Object.entries({ "X-CSRF-Token": csrf, "Content-Type": "application/octet-stream", "X-Upload": upload, "X-Path": encodeURIComponent(item.path) })) request.setRequestHeader(name, value);
      request.upload.addEventListener("progress", (event) => { item.sent = Math.min(event.loaded, item.file.size); update(item); });
      request.addEventListener("loadend", () => {
        running.delete(request);
        item.done = request.status === 204;
        item.sent = item.done ? item.file.size : 0;
        if (request.status >= 400 && request.status !== 401) item.refused = request.responseText.trim();
        update(item);
        if (request.status === 401) location.assign("/login?ended=true");
        if (request.status === 0 && sending) failed(new Error(`The connection broke while ${item.path} was sent.`));
        else done();
      });
      request.send(item.file);
    });
  }

  function update(item) {
    const group = groups.get(item.path.includes("/") ? `${item.path.split("/")[0]}/` : item.path);
    if (group) fill(group);
    const items = all().filter((one) => !one.refused);
    const bytes = total(items, (one) => one.file.size);
    const sent = total(items, (one) => one.sent);
    bar.max = Math.max(bytes, 1);
    bar.value = sent;
    const percent = Math.floor((100 * sent) / Math.max(bytes, 1));
    const told = Math.floor(percent / 10) * 10; // a screen reader hears of every tenth
    text.textContent = `${told} % of ${size(bytes)} in ${items.length} ${items.length === 1 ? "file" : "files"} sent`;
  }

  async function halt() {
    sending = false;
    for (const request of running) request.abort();
    await forget();
    for (const item of all()) Object.assign(item, { sent: 0, done: false });
    show();
    say("Stopped. What had been sent is removed.");
  }

  async function forget() {
    const begun = upload;
    upload = null;
    if (begun) await ask(`/upload/${begun}/discard`).catch(() => null);
  }

  function working(is) {
    sending = is;
    send.disabled = is;
    stop.hidden = bar.hidden = !is;
  }

  function say(words) { text.textContent = words; }

  function cell(kind, words = "") {
    const made = document.createElement(kind);
    made.textContent = words;
    return made;
  }

  function size(bytes) {
    const [unit, by] = bytes >= 1e9 ? ["GB", 1e9] : bytes >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
    return `${(bytes / by).toFixed(1)} ${unit}`;
  }
}
