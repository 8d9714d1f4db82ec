// What the page tells: to screen readers, for a moment, or until it is dismissed.
import { $, element, icon, iconButton } from "./elements.js";
import { text } from "./texts.js";

let sentences = [];

// Tells screen readers. What happens at once is said at once.
export function say(sentence) {
  if (sentences.push(sentence) > 1) return;
  setTimeout(() => {
    $("live").textContent = sentences.join(" ");
    sentences = [];
  }, 100); // a live region that changes twice in one task is read once
}

let toastTimer;

export function toast(sentence) {
  say(sentence);
  $("toast").textContent = sentence;
  $("toast").classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $("toast").classList.remove("shown"), 5000);
}

// Shows a notice in place of the one with the same id; without a title it only removes that.
export function notice(id, { title, body = [], name = "alert", bad = false, dismissed } = {}) {
  $(id)?.remove();
  if (!title) return;
  const made = element("div", { id, className: `notice${bad ? " bad" : ""}` }, icon(name));
  made.append(element("div", {}, element("b", {}, title), ...body));
  if (dismissed) {
    made.append(iconButton("close", text("dismiss"), () => {
      made.remove();
      $("choose").focus();
    }));
  }
  $("notices").append(made);
  say(title);
}
