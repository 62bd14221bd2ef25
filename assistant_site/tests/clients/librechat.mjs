// What LibreChat 0.8.2 asks of the API for a conversation, in its order and with the SDK that it pins.
//
// Read from its sources: controllers/assistants, services/Threads and services/Runs of its API. It prints one line of JSON.
import OpenAI, { toFile } from 'openai-of-librechat';

const openai = new OpenAI({
  apiKey: process.env.OPENAI_API_KEY,
  baseURL: process.env.OPENAI_BASE_URL, // its ASSISTANTS_BASE_URL
  defaultHeaders: { 'OpenAI-Beta': 'assistants=v2' },
});
const model = process.env.HOLDFAST_MODEL;
const weather = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const told = {};

// The builder: an assistant with every tool, changed as a whole.
const file = await openai.files.create({
  file: await toFile(Buffer.from('Boats cost 12 euros an hour.'), 'boats.txt'),
  purpose: 'assistants',
});
let assistant = await openai.beta.assistants.create({
  name: 'Guide',
  description: '',
  instructions: 'Help.',
  model,
  tools: [{ type: 'file_search' }, weather],
  metadata: { author: 'user-1', endpoint: 'assistants' },
});
assistant = await openai.beta.assistants.update(assistant.id, {
  tools: assistant.tools,
  tool_resources: { file_search: { vector_store_ids: [] } },
});

// The list, page by page, out of the answers' bodies.
told.listed = [];
for (let after, more = true; more; ) {
  const { body } = await openai.beta.assistants.list({ limit: 100, order: 'desc', after, before: undefined });
  told.listed.push(...body.data.map((each) => each.id));
  [more, after] = [body.has_more, body.last_id];
}
told.listed = told.listed.includes(assistant.id);

// A message with a file for two tools, one of which the assistant has.
const thread = await openai.beta.threads.create({
  messages: [
    {
      role: 'user',
      content: [{ type: 'text', text: 'Lisbon?\ncall:get_weather {"city": "Lisbon"}' }],
      metadata: { messageId: 'question' },
      attachments: [{ file_id: file.id, tools: [{ type: 'code_interpreter' }, { type: 'file_search' }] }],
    },
  ],
  metadata: { user: 'user-1', conversationId: 'conversation-1' },
});

// The stream; outputs are submitted, and their stream read, in the midst of the first one.
let run, message;
told.text = '';
told.events = [];
async function handle({ event, data }) {
  if (told.events.at(-1) !== event) told.events.push(event);
  if (event.startsWith('thread.run.') && !event.startsWith('thread.run.step.')) run = data;
  if (event === 'thread.message.delta') told.text += data.delta.content[0].text.value;
  if (event === 'thread.message.completed') message = data;
  if (event === 'thread.run.requires_action') {
    const outputs = run.required_action.submit_tool_outputs.tool_calls.map((call) => ({
      tool_call_id: call.id,
      output: '21',
    }));
    const body = { thread_id: run.thread_id, tool_outputs: outputs, stream: true };
    for await (const each of openai.beta.threads.runs.submitToolOutputsStream(run.id, body, {})) await handle(each);
  }
}
const body = { assistant_id: assistant.id, model, additional_instructions: 'Be brief.' };
for await (const each of openai.beta.threads.runs.createAndStream(thread.id, body, {})) await handle(each);
told.status = run.status;
told.usage = run.usage.total_tokens > 0;

// Its own id goes into the answer's metadata; gaps are looked for in messages and steps.
await openai.beta.threads.messages.update(message.id, { thread_id: thread.id, metadata: { messageId: 'answer' } });
const messages = await openai.beta.threads.messages.list(thread.id, { order: 'asc', limit: 100 });
told.messages = messages.data.map((each) => each.metadata.messageId);
told.steps = (await openai.beta.threads.runs.steps.list(run.id, { thread_id: thread.id })).data.map((each) => each.type);

// The next question, stopped; the title; and the models for the builder.
await openai.beta.threads.messages.create(thread.id, {
  role: 'user',
  content: [{ type: 'text', text: 'call:get_weather {"city": "Oslo"}' }],
  metadata: { messageId: 'next' },
});
const next = await openai.beta.threads.runs.create(thread.id, { assistant_id: assistant.id, model });
const stopped = await openai.beta.threads.runs.cancel(next.id, { thread_id: thread.id });
told.stopped = ['cancelling', 'cancelled'].includes(stopped.status);
const title = await openai.chat.completions.create({ model, messages: [{ role: 'user', content: 'A title' }] });
told.title = title.choices[0].message.content.length > 0;
told.models = (await openai.models.list()).data.map((each) => each.id);
told.deleted = [
  (await openai.files.delete(file.id)).deleted,
  (await openai.beta.assistants.delete(assistant.id)).deleted,
];
console.log(JSON.stringify(told));
