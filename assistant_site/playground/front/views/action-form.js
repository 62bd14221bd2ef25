export function ActionForm() {
  return null;
}
