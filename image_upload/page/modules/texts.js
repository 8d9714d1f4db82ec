// Texts and settings, which come with the HTML, and how its language writes numbers.
export const setup = JSON.parse(document.getElementById("setup").textContent);
export const { language } = setup;

const plural = new Intl.PluralRules(language);
const number = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
// Dates are written as the browser's own variant of the language writes them.
const region = navigator.languages.find((each) => each.startsWith(language)) ?? language;
export const day = new Intl.DateTimeFormat(region, { dateStyle: "medium" });
export const moment = new Intl.DateTimeFormat(region, { dateStyle: "medium", timeStyle: "short" });

export function text(key, facts = {}) {
  const found = setup.texts[key];
  const template = typeof found === "string" ? found : (found[plural.select(facts.count)] ?? found.other);
  const said = (value) => (typeof value === "number" ? number.format(value) : value);
  return template.replace(/\{(\w+)\}/g, (_, name) => said(facts[name]));
}

const whole = new Intl.NumberFormat(language, { style: "percent", roundingMode: "floor" });

// A share, 0 to 1, without its fractions: 100 % is all of it.
export const percent = (share) => whole.format(share);

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) count /= 1024;
  return `${number.format(count)} ${units[unit]}`;
}

export function duration(seconds) {
  const [unit, length] = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]].find(([, each]) => seconds >= each) ?? ["second", 1];
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 }).format(Math.max(1, seconds / length));
}

export function why(problem) {
  const code = problem?.code ?? "network";
  if (setup.texts[`problem_${code}`]) return text(`problem_${code}`, { origin: location.origin });
  return problem.detail || text("problem_other", { code });
}
