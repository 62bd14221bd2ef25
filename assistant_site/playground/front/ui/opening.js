// What opens below a button and closes when one goes elsewhere.

import { useEffect, useRef, useState } from "./html.js";

/** `root` belongs on the element around both; `shut` also gives the focus back to the button. */
export function useOpening() {
  const [isOpen, setOpen] = useState(false);
  const root = useRef(null);
  useEffect(() => {
    if (!isOpen) return undefined;
    const away = (event) => root.current?.contains(event.target) || setOpen(false);
    addEventListener("pointerdown", away);
    return () => removeEventListener("pointerdown", away);
  }, [isOpen]);
  const shut = () => {
    setOpen(false);
    root.current.querySelector("button").focus();
  };
  return { isOpen, setOpen, root, shut };
}
