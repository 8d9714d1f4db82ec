// What is chosen: a purpose, and files for it.
import { $, button, element, quiet } from "./elements.js";
import { notice } from "./notices.js";
import { send } from "./queue.js";
import { bytes, language, text } from "./texts.js";

let purposes = [];

export const isOffered = () => purposes.length > 0;

export function offer(found) {
  purposes = found;
  $("purpose").replaceChildren(...purposes.map(({ name }) => element("option", { value: name }, name)));
  purposeChanged();
}

const chosen = () => purposes.find((each) => each.name === $("purpose").value);

function purposeChanged() {
  const purpose = chosen();
  $("purpose-text").textContent = purpose.texts[language];
  $("choose").accept = purpose.accept;
  $("photograph").parentElement.hidden = !purpose.types.some((each) => each === "*/*" || each.startsWith("image/"));
  for (const field of document.querySelectorAll("#options .needed")) field.remove();
  for (const name of purpose.metadata) {
    const input = element("input", { id: `needs-${name}`, name, autocomplete: "off", oninput: () => input.setCustomValidity("") });
    $("options").append(element("div", { className: "field needed" }, element("label", { htmlFor: input.id }, name), input));
  }
}

// Returns why a purpose does not take a file; null if it may.
function refusal(file, purpose) {
  if (!file.size) return text("refused_empty");
  if (file.size > purpose.maxBytes) return text("refused_size", { size: bytes(file.size) });
  const type = file.type.toLowerCase();
  const extension = file.name.toLowerCase().match(/\.([^.]+)$/)?.[1];
  const taken = type
    ? purpose.types.some((each) => each === "*/*" || each === type || (each.endsWith("/*") && type.startsWith(each.slice(0, -1))))
    : !purpose.extensions.length || purpose.extensions.includes(extension);
  return taken ? null : text("refused_type");
}

// Adds files of a FileList or DataTransfer, for the chosen purpose. What it does not take is said, and not sent.
function add(source) {
  const purpose = chosen();
  if (!purpose || $("add").hidden) return;
  const fields = [...document.querySelectorAll("#options .needed input")];
  const missing = fields.find((each) => !each.value.trim());
  if (missing) {
    missing.setCustomValidity(text("needs_value", { name: missing.name }));
    missing.reportValidity();
    return;
  }
  const options = { purpose: purpose.name, metadata: Object.fromEntries(fields.map((each) => [each.name, each.value.trim()])) };
  const hasFolder = [...(source.items ?? [])].some((each) => each.webkitGetAsEntry?.()?.isDirectory);
  if (hasFolder) {
    send(source, options);
  } else {
    const files = [...(source.files ?? source)];
    const refused = files.filter((file) => refusal(file, purpose));
    sayRefused(refused, purpose);
    const taken = files.filter((file) => !refused.includes(file));
    if (taken.length) send(taken, options);
  }
}

function sayRefused(files, purpose) {
  if (!files.length) return notice("refused");
  const list = element("ul", {}, ...files.slice(0, 50).map((file) => element("li", {}, `${file.name}: ${refusal(file, purpose)}`)));
  const body = [quiet(text("refused_why", { purpose: purpose.name, text: purpose.texts[language] })), list];
  const other = purposes.find((each) => !each.metadata.length && files.every((file) => !refusal(file, each)));
  if (other) {
    body.push(button(text("other_purpose", { purpose: other.name }), () => {
      $("purpose").value = other.name;
      purposeChanged();
      add(files);
    }));
  }
  notice("refused", { title: text("refused", { count: files.length }), body, bad: true, dismissed: true });
}

$("purpose").addEventListener("change", purposeChanged);
// All of the place chooses; its label does so by itself.
$("target").addEventListener("click", (event) => event.target.closest("label") ?? $("choose").click());
for (const input of [$("choose"), $("photograph")]) {
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
}

const hasFiles = (event) => !$("add").hidden && event.dataTransfer?.types.includes("Files");
addEventListener("dragover", (event) => {
  if (!hasFiles(event)) return;
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => event.relatedTarget === null && document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  document.body.classList.remove("dragging");
  if (!hasFiles(event)) return;
  event.preventDefault();
  add(event.dataTransfer);
});
addEventListener("paste", (event) => event.clipboardData.files.length && add(event.clipboardData));
