// Requests to the server that the page came from; an answer that says no is a value, not an exception.

export async function post(path, body, { keepalive = false } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      keepalive,
    });
  } catch {
    return { ok: false, kind: "offline", detail: "the server does not answer: nothing is lost, try again" };
  }
  showSignedOut(answer.status === 401);
  if (answer.status === 204) return { ok: true, data: null };
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return { ok: true, data };
  if (answer.status === 401) return { ok: false, kind: "signed-out", detail: "you are signed out: sign in on another tab, then try again" };
  return { ok: false, kind: data.type ?? "", detail: data.detail ?? `the server says ${answer.status}` };
}

// What is typed stays on the page while somebody signs in on another tab.
function showSignedOut(isOut) {
  const words = document.getElementById("signed-out");
  if (words) words.hidden = !isOut;
}

// Tell an answer that another try may change from one that the server refuses.
export const isPassing = (result) => result.kind === "offline" || result.kind === "signed-out";

export async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

export const isDoubtful = (result) => result.kind === "urn:icr:DoubtfulReview";
