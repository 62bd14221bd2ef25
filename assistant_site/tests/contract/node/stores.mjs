// Files, vector stores and citations through the helpers of the official Node SDK.
//
//     node stores.mjs BASE_URL TOKEN
//
// Ends with 0 if all was as promised.
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const { vectorStores, files } = client;
const threads = client.beta.threads;

const text = (name, content) => toFile(Buffer.from(content), name);
const slice = (value, from, to) => [...value].slice(from, to).join(''); // characters, not UTF-16 units

const store = await vectorStores.create({ name: 'Notes', expires_after: { anchor: 'last_active_at', days: 3 } });
assert.equal(store.status, 'completed');

const one = await vectorStores.files.uploadAndPoll(store.id, await text('cats.md', 'Cats 🐈 sleep all day.'));
assert.equal(one.status, 'completed');
const two = await files.create({ file: await text('报告.txt', '狗会叫。'), purpose: 'assistants' });
const added = await vectorStores.files.createAndPoll(store.id, { file_id: two.id, attributes: { kind: 'dog' } });
assert.deepEqual([added.id, added.status, added.attributes], [two.id, 'completed', { kind: 'dog' }]);

const batch = await vectorStores.fileBatches.uploadAndPoll(store.id, {
  files: [await text('a.txt', 'Alpha.'), await text('b.json', '{"b": "Beta"}'), await text('broken.pdf', '%PDF-1.4 no')],
});
assert.equal(batch.status, 'completed');
assert.deepEqual(batch.file_counts, { in_progress: 0, completed: 2, failed: 1, cancelled: 0, total: 3 });
const listed = [];
for await (const file of vectorStores.fileBatches.listFiles(batch.id, { vector_store_id: store.id, limit: 2 })) {
  listed.push([file.status, file.last_error?.code ?? null]);
}
assert.deepEqual(listed.sort(), [['completed', null], ['completed', null], ['failed', 'invalid_file']]);
assert.equal((await vectorStores.retrieve(store.id)).file_counts.total, 5);

const found = await vectorStores.search(store.id, { query: '狗', filters: { type: 'eq', key: 'kind', value: 'dog' } });
assert.deepEqual(found.data.map((hit) => hit.filename), ['报告.txt']);
const content = await vectorStores.files.content(one.id, { vector_store_id: store.id });
assert.match(content.data[0].text, /Cats 🐈/);

const assistant = await client.beta.assistants.create({
  model: 'demo',
  tools: [{ type: 'file_search' }],
  tool_resources: { file_search: { vector_store_ids: [store.id] } },
});
const thread = await threads.create({ messages: [{ role: 'user', content: 'What do cats 🐈 do?' }] });
const stream = threads.runs.stream(thread.id, { assistant_id: assistant.id });
const heard = [];
stream.on('textDone', (done) => heard.push(done));
const run = await stream.finalRun();
assert.equal(run.status, 'completed');
const [message] = (await threads.messages.list(thread.id, { run_id: run.id })).data;
const { value, annotations } = message.content[0].text;
assert.equal(heard[0].value, value);
assert.ok(annotations.length >= 1);
for (const { text, start_index, end_index } of annotations) assert.equal(slice(value, start_index, end_index), text);
assert.equal(annotations[0].file_citation.file_id, one.id);

const removed = await vectorStores.files.delete(one.id, { vector_store_id: store.id });
assert.deepEqual(removed, { id: one.id, object: 'vector_store.file.deleted', deleted: true });
assert.equal((await files.retrieve(one.id)).id, one.id);
assert.equal((await vectorStores.delete(store.id)).deleted, true);
await assert.rejects(vectorStores.retrieve(store.id), OpenAI.NotFoundError);
console.log('all right');
