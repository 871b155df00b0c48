// A scan goes up as it is, and comes back as a draft to correct.

import { start } from "./start.js";

const form = document.getElementById("draft");
const message = document.getElementById("message");
const file = document.getElementById("file");
const name = document.getElementById("name");

file.addEventListener("change", () => {
  const stem = file.files[0]?.name.replace(/\.[^.]*$/, "") ?? "";
  name.value ||= stem.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 60);
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  message.textContent = "Looking for boxes and labels …";
  message.classList.add("good");
  const query = new URLSearchParams({ name: name.value, how: document.getElementById("how").value });
  const answer = await fetch(`/templates/draft?${query}`, { method: "POST", body: file.files[0] }).catch(() => null);
  if (answer?.ok) {
    location.assign(`/templates/${name.value}`);
    return;
  }
  const problem = await answer?.json().catch(() => null);
  message.classList.remove("good");
  message.textContent = problem?.detail ?? "the server does not answer: try again";
  button.disabled = false;
});

start();
