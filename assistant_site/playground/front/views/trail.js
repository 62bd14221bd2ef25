export function Trail() {
  return null;
}
