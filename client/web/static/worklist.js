// Keys of the worklist. The selected row is the one that has the focus, so that screen readers follow; a list
// that is drawn again keeps it by the rows' ids, or gives it to the row that came in its place.

const list = document.getElementById("list");
const keys = document.getElementById("keys");
const links = () => [...list.querySelectorAll("tbody th a")];

let place = -1;
let inList = false;

function rowInFocus() {
  const row = document.activeElement?.closest("#list tbody tr");
  return row ?? null;
}

function select(index) {
  const all = links();
  if (!all.length) return;
  const link = all[Math.max(0, Math.min(index, all.length - 1))];
  link.focus({ preventScroll: true });
  link.closest("tr").scrollIntoView({ block: "nearest" });
}

function move(step) {
  const row = rowInFocus();
  if (row) select([...row.parentElement.children].indexOf(row) + step);
  else select(place < 0 ? 0 : place);
}

function press(key) {
  rowInFocus()?.querySelector(`button[data-key="${key}"]`)?.click();
}

function types(element) {
  return element.closest("input:not([type=checkbox]), select, textarea, [contenteditable]") !== null;
}

const actions = {
  j: () => move(1),
  ArrowDown: () => move(1),
  k: () => move(-1),
  ArrowUp: () => move(-1),
  c: () => press("c"),
  r: () => press("r"),
  "/": () => document.getElementById("search").focus(),
  "?": () => keys.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || keys.open || types(event.target)) return;
  const action = actions[event.key];
  if (!action || (event.key.startsWith("Arrow") && !rowInFocus())) return; // arrows scroll until a row is selected
  event.preventDefault();
  action();
});

document.addEventListener("focusin", () => {
  const row = rowInFocus();
  inList = row !== null;
  if (row) place = [...row.parentElement.children].indexOf(row);
});
document.body.addEventListener("htmx:afterSettle", () => {
  if (inList && (document.activeElement === document.body || document.activeElement === null)) select(place);
});

document.body.addEventListener("scan-changed", () => { // what was chosen there is done
  for (const menu of list.querySelectorAll("details[open]")) menu.open = false;
});

const opener = document.getElementById("show-keys");
opener.hidden = false;
opener.addEventListener("click", () => keys.showModal());
list.dataset.ready = "true";
