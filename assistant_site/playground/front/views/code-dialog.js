export function openCode() {}
