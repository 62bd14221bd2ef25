// What a run's status means, and where its steps are read.

import { all } from "./api.js";

/** What is asked for beside a run or its steps: the texts that file search has found. */
export const WITH_PASSAGES = "include[]=step_details.tool_calls[*].file_search.results[*].content";

/** Whether the server works at a run, or has it in its queue. */
export const isAtWork = (run) => ["queued", "in_progress", "cancelling"].includes(run?.status);

/** Whether a run rests until its caller answers. */
export const isWaitingRun = (run) => run?.status === "requires_action";

/** Whether nothing more happens in a run. */
export const isOver = (run) => !isAtWork(run) && !isWaitingRun(run);

/** All steps of a run in their order, with what was found. */
export const readSteps = (threadId, runId) => all(`/threads/${threadId}/runs/${runId}/steps?order=asc&${WITH_PASSAGES}`, Infinity);
