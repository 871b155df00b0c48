// The scan of a design, read by its template as it stands: when somebody asks for it, and whenever somebody pauses.

import { post } from "./http.js";

const by = (id) => document.getElementById(id);
const PAUSE_MS = 1200;

export function showProblems(problems) {
  by("problems").replaceChildren(
    ...problems.map((problem) => {
      const line = document.createElement("li");
      line.textContent = problem.field ? `${problem.field}: ${problem.words}` : problem.words;
      return line;
    }),
  );
}

// Return what begins a reading after a pause, if people want that; `take` gets the fields of each reading.
export function readAlongWith(base, templateOf, { say, take }) {
  let isReading = false;
  let readNext = 0;

  // Reading takes some seconds: it begins when somebody pauses, and one at a time.
  function readAlong() {
    clearTimeout(readNext);
    if (!by("reads-along").checked) return;
    readNext = setTimeout(() => (isReading ? readAlong() : read()), PAUSE_MS);
  }

  async function read() {
    isReading = by("read").disabled = true;
    say("Reading …", true);
    const result = await post(`${base}/read`, { template: templateOf() });
    isReading = by("read").disabled = false;
    if (!result.ok) return say(result.detail);
    showProblems(result.data.problems);
    const page = result.data.page;
    if (!page) return say("This cannot be read yet:");
    say(page.error ?? "This is what is read.", !page.error);
    take(page.fields);
  }

  by("reads-along").addEventListener("change", readAlong);
  by("read").addEventListener("click", () => read());
  return readAlong;
}
