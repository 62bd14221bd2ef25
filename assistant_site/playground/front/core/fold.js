// What a run's events make of its messages and steps. Pure: takes an object and a delta, gives the new object. A stream
// that is folded from its beginning equals what the API answers afterwards.

/** A message after a `thread.message.delta`. */
export function foldMessage(message, delta) {
  const content = [...(message.content ?? [])];
  for (const part of delta.content ?? []) content[part.index] = foldPart(content[part.index], part);
  return { ...message, content };
}

function foldPart(before, part) {
  const { index, ...given } = part;
  if (before === undefined) {
    return given.type === "text"
      ? { type: "text", text: { value: given.text?.value ?? "", annotations: placed([], given.text?.annotations) } }
      : given;
  }
  if (given.type !== "text") return { ...before, ...given };
  return {
    ...before,
    text: {
      value: before.text.value + (given.text?.value ?? ""),
      annotations: placed(before.text.annotations, given.text?.annotations),
    },
  };
}

function placed(annotations, added = []) {
  const all = [...annotations];
  for (const { index, ...annotation } of added) all[index ?? all.length] = annotation;
  return all;
}

/** A run step after a `thread.run.step.delta`. */
export function foldStep(step, delta) {
  const given = delta.step_details ?? {};
  if (given.type !== "tool_calls") return { ...step, step_details: { ...step.step_details, ...given } };
  const calls = [...(step.step_details?.tool_calls ?? [])];
  for (const call of given.tool_calls ?? []) calls[call.index] = foldCall(calls[call.index], call);
  return { ...step, step_details: { type: "tool_calls", tool_calls: calls } };
}

function foldCall(before = {}, { index, ...given }) {
  const call = { ...before, ...given };
  if (given.function) call.function = joined(before.function, given.function, ["name", "arguments"]);
  if (given.code_interpreter) {
    call.code_interpreter = joined(before.code_interpreter, given.code_interpreter, ["input"]);
    call.code_interpreter.outputs = foldOutputs(before.code_interpreter?.outputs, given.code_interpreter.outputs);
  }
  return call;
}

/** The fields of `given` over those of `before`; of the named ones the texts grow. */
function joined(before = {}, given, growing) {
  const made = { ...before, ...given };
  for (const name of growing) if (typeof given[name] === "string") made[name] = (before[name] ?? "") + given[name];
  return made;
}

function foldOutputs(before = [], given = []) {
  const outputs = [...before];
  for (const { index, ...output } of given ?? []) {
    const known = outputs[index];
    outputs[index] =
      known?.type === "logs" && output.type === "logs" ? { ...known, logs: known.logs + (output.logs ?? "") } : { ...known, ...output };
  }
  return outputs;
}
