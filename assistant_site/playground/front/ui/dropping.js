// Files that are dragged over an element and dropped on it.

const carriesFiles = (event) => [...event.dataTransfer.types].includes("Files");

/** What the element listens to. `hover` is told whether files are over it; `take` gets those that are dropped. */
export function dropping({ hover, take, disabled = false }) {
  return {
    onDragOver: (event) => {
      if (disabled || !carriesFiles(event)) return;
      event.preventDefault();
      hover(true);
    },
    onDragLeave: (event) => event.currentTarget.contains(event.relatedTarget) || hover(false),
    onDrop: (event) => {
      if (!carriesFiles(event)) return;
      event.preventDefault();
      hover(false);
      if (!disabled) take([...event.dataTransfer.files]);
    },
  };
}
