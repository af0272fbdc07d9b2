// Keys, progress and large pictures. Every page works without it.
"use strict";

const rows = [...document.querySelectorAll(".review tbody tr[id]")];
const help = document.getElementById("help");
const large = document.getElementById("large");
let current = -1;

/** Make a class the current one; at first without leaving the top of the page. */
function select(index, first = false) {
  const shown = rows.filter((row) => !row.hidden);
  if (!shown.length) return;
  const place = Math.max(0, Math.min(index, shown.length - 1));
  rows.forEach((row) => row.classList.remove("current"));
  current = place;
  shown[place].classList.add("current");
  shown[place].querySelector(".open").focus({ preventScroll: true });
  if (first) return;
  shown[place].scrollIntoView({ block: "nearest" });
  history.replaceState(null, "", `#${shown[place].id}`); // the place stays when the page is loaded again
}

/** The button or link of a key: of the current class in a list, or of the page. */
function target(key) {
  const row = rows.find((one) => one.classList.contains("current"));
  const own = row && row.querySelector(`[data-key="${key}"]`);
  return own || (rows.length && key !== "u" ? null : document.querySelector(`[data-key="${key}"]:not(:disabled)`));
}

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const key = { ArrowDown: "j", ArrowUp: "k" }[event.key] || event.key;
  if (key === "?") {
    help.showModal();
  } else if (rows.length && (key === "j" || key === "k")) {
    select(current + (key === "j" ? 1 : -1));
  } else if (rows.length && key === "e" && current >= 0) {
    location.href = rows.find((row) => row.classList.contains("current")).querySelector(".open").href + "#prompt";
  } else if (["a", "x", "r", "y", "u", "e", "j", "k", "Escape"].includes(key)) {
    const found = target(key);
    if (!found) return;
    if (event.key.startsWith("Arrow") && !rows.length) return;
    if (key === "e") found.focus();
    else found.click();
  } else return;
  event.preventDefault();
});

const helpButton = document.getElementById("help-button");
helpButton.hidden = false;
helpButton.addEventListener("click", () => help.showModal());

document.querySelectorAll(".zoom").forEach((link) =>
  link.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    document.getElementById("large-image").src = link.href;
    document.getElementById("large-name").textContent = link.title;
    large.showModal();
  }),
);

document.querySelectorAll(".fill").forEach((button) =>
  button.addEventListener("click", () => {
    const field = document.getElementById("prompt");
    field.value = button.dataset.fill;
    field.focus();
  }),
);

const find = document.getElementById("find");
if (find) {
  find.hidden = false;
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    rows.forEach((row) => {
      row.hidden = !row.dataset.name.toLowerCase().includes(wanted);
      row.classList.remove("current");
    });
    current = -1;
  });
}

if (rows.length) {
  const named = rows.findIndex((row) => row.id === location.hash.slice(1));
  select(Math.max(0, named), named < 0);
} else if (location.hash === "#prompt") {
  document.getElementById("prompt").focus();
}

/** Whether a field holds what is written nowhere else: a page of a form that was refused, or a changed field. */
function unsaved() {
  const fields = [...document.querySelectorAll("input:not([type=hidden]), textarea:not([hidden])")];
  const choices = [...document.querySelectorAll("select")];
  return (
    document.querySelector("[data-unsaved]") !== null ||
    fields.some((field) => field.value !== field.defaultValue) ||
    choices.some((one) => one.value !== ([...one.options].find((each) => each.defaultSelected) || one.options[0]).value)
  );
}

/** Show the page as it is now; one that answered a form is asked for, and the form is not sent again. */
function again() {
  if (document.body.dataset.answer) location.assign(location.pathname);
  else location.reload();
}

const drawing = document.getElementById("drawing");
const drawnNotice = document.getElementById("drawn-notice");
drawnNotice.querySelector("button").addEventListener("click", again);

drawing.addEventListener("submit", (event) => {
  event.preventDefault(); // the page stays, and what is written in it
  fetch(drawing.action, { method: "POST", body: new URLSearchParams(new FormData(drawing)), redirect: "manual" });
});

async function watch() {
  const state = await (await fetch("/status")).json();
  const bar = document.getElementById("drawn");
  drawing.hidden = !state.busy;
  if (state.busy) {
    const waiting = state.waiting ? `, ${state.waiting} waiting` : "";
    document.getElementById("what").textContent = `${state.name}: ${state.what}${waiting}`;
    if (state.total > 1) {
      bar.max = state.total;
      bar.value = state.done;
    } else bar.removeAttribute("value");
  }
  const ended = String(state.finished) !== document.body.dataset.finished;
  const busy = document.querySelector("dialog[open]") || document.activeElement?.closest("#edit");
  drawnNotice.hidden = !ended || !unsaved();
  if (ended && !busy && !unsaved()) again();
  else if (ended || state.busy) setTimeout(watch, 700);
}
if (document.body.dataset.busy) setTimeout(watch, 400);
