// Rules of a form that is being designed: those of the chosen field, and those across fields. The JSON stays the only
// state: every function here changes it, and says so by `changed`.

const by = (id) => document.getElementById(id);
const DATES = ["DDMMYYYY", "MMDDYYYY", "YYYYMMDD", "DDMMYY", "MMDDYY", "YYMMDD"];

// How a rule of one field is written in one line, and read from it; null where the line says nothing yet.
const OF_FIELD = {
  range: {
    hint: "0 to 500, or: to 500",
    write: ({ min, max }) => [min ?? "", "to", max ?? ""].join(" ").trim(),
    read: (line) => {
      const [, min, max] = /^(-?[\d.]*)\s*to\s*(-?[\d.]*)$/.exec(line) ?? [];
      const given = { ...(min && { min: Number(min) }), ...(max && { max: Number(max) }) };
      return Object.keys(given).length ? given : null;
    },
  },
  list: {
    hint: "values, split by commas",
    write: ({ values }) => values.join(", "),
    read: (line) => {
      const values = line.split(",").map((value) => value.trim()).filter(Boolean);
      return values.length ? { values } : null;
    },
  },
  date: {
    hint: DATES.join(", "),
    write: ({ format }) => format ?? DATES[0],
    read: (line) => (line ? { format: line.toUpperCase() } : null),
  },
  check_digit: { hint: "luhn, verhoeff, us.rtn …", write: ({ scheme }) => scheme, read: (line) => (line ? { scheme: line } : null) },
  pattern: { hint: "a regular expression", write: ({ regex }) => regex, read: (line) => (line ? { regex: line } : null) },
};

// Whether one line can say a rule: what is read of what is written holds all that the rule does.
function saysAll(rule) {
  const kind = OF_FIELD[rule.rule];
  const said = kind?.read(kind.write(rule));
  const isSaid = ([part, value]) => part === "rule" || JSON.stringify(said?.[part]) === JSON.stringify(value);
  return Boolean(said) && Object.entries(rule).every(isSaid);
}

export function showFieldRule(field) {
  const rules = field.rules ?? [];
  const [rule] = rules;
  const isPlain = rules.length < 2 && (!rule || saysAll(rule));
  by("f-rule").disabled = by("f-what").disabled = !isPlain; // what the line cannot say is kept, and changed in the JSON
  by("f-rule").value = isPlain && rule ? rule.rule : "";
  by("f-what").value = isPlain && rule ? OF_FIELD[rule.rule].write(rule) : isPlain ? "" : "see the JSON below";
  showWhat();
}

function showWhat() {
  const kind = OF_FIELD[by("f-rule").value];
  for (const part of [by("f-what"), ...by("f-what").labels]) part.hidden = !kind && !by("f-rule").disabled;
  by("f-what").placeholder = kind?.hint ?? "";
}

export function putFieldRule(field) {
  if (by("f-rule").disabled) return;
  showWhat();
  const rule = by("f-rule").value;
  const said = rule && OF_FIELD[rule].read(by("f-what").value.trim());
  if (said) field.rules = [{ rule, ...said }];
  else delete field.rules;
}

// ---- across fields ----

const WORDS = {
  sum: ({ fields, total }) => `${fields.join(" + ")} = ${total}`,
  difference: ({ minuend, subtrahend, result }) => `${minuend} less ${subtrahend} = ${result}`,
  equal: ({ fields }) => fields.join(" = "),
  at_least_one: ({ fields }) => `at least one of ${fields.join(", ")}`,
};
const ASKED = { sum: ["fields", "total"], difference: ["minuend", "subtrahend", "result"], equal: ["fields"], at_least_one: ["fields"] };
const PARTS = ["fields", "total", "minuend", "subtrahend", "result"];

const namesOf = (template) => (template.fields ?? []).map((field) => field.name);
const patternsOf = (template) => (template.rows ?? []).flatMap((rows) => rows.fields.map((field) => `${rows.name ?? "row"}*.${field.name}`));

export function showRules(template, changed) {
  by("rules").replaceChildren(
    ...(template.rules ?? []).map((rule, at) => {
      const line = document.createElement("li");
      const words = document.createElement("span");
      words.textContent = WORDS[rule.rule]?.(rule) ?? JSON.stringify(rule);
      const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Remove" });
      button.setAttribute("aria-label", `Remove the rule ${words.textContent}`);
      button.addEventListener("click", () => {
        template.rules.splice(at, 1);
        if (!template.rules.length) delete template.rules;
        changed();
        by("x-rule").focus();
      });
      line.append(words, button);
      return line;
    }),
  );
  for (const part of PARTS) {
    const choice = by(`x-${part}`);
    const kept = new Set([...choice.selectedOptions].map((option) => option.value));
    const names = part === "fields" ? [...namesOf(template), ...patternsOf(template)] : namesOf(template);
    choice.replaceChildren(...names.map((name) => new Option(name, name, false, kept.has(name))));
  }
  showAsked();
}

function showAsked() {
  for (const part of PARTS) {
    for (const each of [by(`x-${part}`), ...by(`x-${part}`).labels]) each.hidden = !ASKED[by("x-rule").value].includes(part);
  }
}

export function listenToRules(templateNow, changed) {
  by("x-rule").addEventListener("change", showAsked);
  by("across").addEventListener("submit", (event) => {
    event.preventDefault();
    const template = templateNow();
    const rule = { rule: by("x-rule").value };
    for (const part of ASKED[rule.rule]) {
      const chosen = [...by(`x-${part}`).selectedOptions].map((option) => option.value);
      rule[part] = part === "fields" ? chosen : chosen[0];
    }
    (template.rules ??= []).push(rule);
    for (const option of by("x-fields").options) option.selected = false;
    changed();
  });
}
