// What every view is written with.

export { html } from "htm/preact";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";

/** The class names whose conditions hold: `classes("row", { busy })`. */
export function classes(...given) {
  return given
    .flatMap((each) => (typeof each === "object" && each ? Object.keys(each).filter((name) => each[name]) : each || []))
    .join(" ");
}
