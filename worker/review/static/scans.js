// Buttons that ask the server for one thing and say what it answered.

import { post } from "./http.js";

const message = document.getElementById("message");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post]");
  if (!button) return;
  button.disabled = true;
  const result = await post(button.dataset.post, {});
  message.textContent = result.ok ? result.data.words : result.detail;
  message.classList.toggle("good", result.ok);
  if (result.ok) button.closest("tr")?.classList.add("done");
  else button.disabled = false;
});
