export function greeting(who) {
  return `Hello, ${who}, from a bundle of two files and one dependency!`;
}
