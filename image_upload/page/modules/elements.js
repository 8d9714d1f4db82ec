// The elements that the page makes.
export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const iconOf = (type) => ["image", "audio", "video"].find((each) => type?.startsWith(`${each}/`)) ?? "file";

export const button = (label, onclick, className = "button") => element("button", { type: "button", className, onclick }, label);

export function iconButton(name, label, onclick) {
  return element("button", { type: "button", className: "icon", ariaLabel: label, title: label, onclick }, icon(name));
}

export function relabel(made, name, label) {
  made.ariaLabel = made.title = label;
  made.replaceChildren(icon(name));
}

// Moves the focus to the neighbour of what goes away, or to the heading of its list.
export function focusBeside(item, heading) {
  const last = ".tools button:last-of-type:not([hidden])";
  const next = item.nextElementSibling ?? item.previousElementSibling;
  (next?.querySelector(last) ?? heading).focus();
}
export const quiet = (sentence) => element("p", { className: "quiet" }, sentence);
