// Pictures are fetched a few at a time and in order: a browser has six connections to a server, and decisions need some.

const AT_ONCE = 3;
const TRIES = 3; // the process that draws them may just be starting again
const REST_MS = 700;
const waiting = [];
let loading = 0;

// Load and decode a picture; true once it can be painted without delay, false where it cannot be shown.
export function loadPicture(picture, url, { first = false } = {}) {
  return new Promise((done) => {
    waiting[first ? "unshift" : "push"]({ picture, url, done });
    next();
  });
}

async function next() {
  if (loading >= AT_ONCE || !waiting.length) return;
  const { picture, url, done } = waiting.shift();
  loading += 1;
  let decoded = false;
  for (let tries = 0; tries < TRIES && !decoded; tries += 1) {
    if (tries) await new Promise((rested) => setTimeout(rested, REST_MS));
    picture.src = url;
    decoded = await picture.decode().then(
      () => true,
      () => false,
    );
  }
  loading -= 1;
  done(decoded);
  next();
}

export function forgetPictures() {
  waiting.length = 0;
}
