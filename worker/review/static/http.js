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
  if (answer.status === 204) return { ok: true, data: null };
  const data = await answer.json().catch(() => ({}));
  if (answer.ok) return { ok: true, data };
  if (answer.status === 401) return { ok: false, kind: "signed-out", detail: "you are signed out: sign in again" };
  return { ok: false, kind: data.type ?? "", detail: data.detail ?? `the server says ${answer.status}` };
}

export async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

export const isDoubtful = (result) => result.kind === "urn:icr:DoubtfulReview";
