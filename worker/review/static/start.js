// A page that a script serves takes no click and no key before that script listens: none would do anything.

export function start() {
  document.getElementById("main").inert = false;
}
