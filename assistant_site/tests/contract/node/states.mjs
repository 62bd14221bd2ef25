// The helpers of the official Node SDK through every state of a run.
//
//     node states.mjs BASE_URL TOKEN < SCENARIOS
//
// Reads scenarios.told() as JSON, goes through each with every family of helpers and prints one line of JSON for each
// journey. It ends with 1 at the first surprise. The clock is not its own: where a run's time is to end it prints
// {"expire": RUN, "seconds": …} and waits until that has been done.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';

const [baseURL, apiKey] = process.argv.slice(2);
const { tools, scenarios } = JSON.parse(readFileSync(0, 'utf8'));

const STREAMING = ['stream', 'createAndStream', 'createAndRunStream'];
const POLLING = ['createAndPoll', 'createAndRunPoll'];
const SIDE_BY_SIDE = 6;
const SPEAKING_SECONDS = 2; // what is left to a run whose time ends while the model speaks
const HEARD = [
  'connect', 'event', 'messageCreated', 'messageDelta', 'messageDone', 'textCreated', 'textDelta', 'textDone',
  'imageFileDone', 'runStepCreated', 'runStepDelta', 'runStepDone', 'toolCallCreated', 'toolCallDelta', 'toolCallDone',
  'run', 'error', 'abort', 'end',
];

const print = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const ids = (things) => things.map((thing) => thing.id);
const plain = (value) => JSON.parse(JSON.stringify(value)); // also: a copy of what the SDK goes on changing
const callsOf = (step) =>
  (step.step_details.tool_calls ?? []).map((call) => [call.id, call.function.name, call.function.arguments]);

function surprise(where, error) {
  print({ surprise: where, error: error?.stack ?? String(error) });
  process.exit(1);
}
process.on('unhandledRejection', (error) => surprise('unhandled rejection', error));
process.on('uncaughtException', (error) => surprise('uncaught exception', error));

async function all(page) {
  const found = [];
  for await (const each of page) found.push(plain(each));
  return found;
}

/** Notes the arguments of all that the stream emits. */
function heard(stream) {
  const notes = Object.fromEntries(HEARD.map((name) => [name, []]));
  for (const name of HEARD) stream.on(name, (...args) => notes[name].push(plain(args)));
  return notes;
}

/** One scenario on a thread of its own, carried by one family of helpers. */
class Journey {
  constructor(scenario, helper, assistant) {
    Object.assign(this, { scenario, helper, assistant, run: null });
    this.streams = STREAMING.includes(helper);
    this.client = new OpenAI({ baseURL, apiKey, maxRetries: 0, fetch: (url, init) => this.fetch(url, init) });
    this.threads = this.client.beta.threads;
    this.runs = this.threads.runs;
    this.told = { messages: new Set(), steps: new Set() };
  }

  /** As it is, but for noting the run: the polling helpers do not say how it is called before they return. */
  async fetch(url, init) {
    const response = await fetch(url, init);
    const isJSON = response.headers.get('content-type')?.startsWith('application/json');
    if (isJSON && response.ok && init.method.toUpperCase() === 'POST' && new URL(url).pathname.endsWith('/runs')) {
      this.created = await response.clone().json();
    }
    return response;
  }

  async go() {
    const { rounds, ended } = this.scenario;
    await this.begin();
    for (let round = 1; round <= rounds; round += 1) {
      assert.equal(this.run.status, 'requires_action');
      assert.equal(this.run.usage, null);
      if (ended.endsWith('waiting') && round === rounds) {
        await this.endWhileItWaits();
        break;
      }
      if (ended === 'expired speaking') await this.letTimeEnd(SPEAKING_SECONDS);
      await this.goOn();
    }
    await this.endedWell();
  }

  async begin() {
    const messages = [{ role: 'user', content: this.scenario.name }];
    const body = { assistant_id: this.assistant, ...this.scenario.body };
    let start;
    if (this.helper.startsWith('createAndRun')) {
      start = () => this.threads[this.helper]({ ...body, thread: { messages } });
    } else {
      const thread = await this.threads.create({ messages });
      start = () => this.runs[this.helper](thread.id, body);
    }
    const cancels = this.scenario.ended === 'cancelled speaking';
    if (this.streams && this.scenario.ended === 'left speaking') {
      await this.leave(start());
    } else if (this.streams) {
      await this.watch(start(), { cancels });
    } else {
      const [run] = await Promise.all([start(), cancels ? this.cancelWhenItSpeaks() : null]);
      this.run = plain(run);
    }
  }

  outputs() {
    const calls = this.run.required_action.submit_tool_outputs.tool_calls;
    assert.ok(calls.length > 0);
    return { thread_id: this.run.thread_id, tool_outputs: calls.map(({ id }) => ({ tool_call_id: id, output: '42' })) };
  }

  async goOn() {
    if (this.streams) {
      await this.watch(this.runs.submitToolOutputsStream(this.run.id, this.outputs()), { continues: true });
    } else {
      this.run = plain(await this.runs.submitToolOutputsAndPoll(this.run.id, this.outputs()));
    }
  }

  // --- Streams -------------------------------------------------------------------------------------------------------

  async watch(stream, { cancels = false, continues = false }) {
    const notes = heard(stream);
    if (cancels) {
      let asked = false;
      stream.on('event', ({ event }) => {
        if (asked || !event.endsWith('.delta')) return;
        asked = true;
        const { id, thread_id } = stream.currentRun();
        this.runs.cancel(id, { thread_id }).then((answer) => assert.equal(answer.status, 'cancelling'));
      });
    }
    this.run = plain(await stream.finalRun());
    const messages = plain(await stream.finalMessages());
    const steps = plain(await stream.finalRunSteps());
    await stream.done();

    const { id, thread_id } = this.run;
    assert.deepEqual(this.run, plain(await this.runs.retrieve(id, { thread_id })));
    for (const message of messages) {
      assert.deepEqual(message, plain(await this.threads.messages.retrieve(message.id, { thread_id })));
      this.told.messages.add(message.id);
    }
    for (const step of steps) {
      const stored = plain(await this.runs.steps.retrieve(step.id, { thread_id, run_id: id }));
      // One that has not ended was put together from deltas: its calls still have their place.
      if (step.status === 'in_progress') for (const call of step.step_details.tool_calls) delete call.index;
      assert.deepEqual(step, stored);
      this.told.steps.add(step.id);
    }
    this.emitted(notes, messages, steps, continues);
  }

  /** The run goes on without whoever has left its stream. */
  async leave(stream) {
    const notes = heard(stream);
    stream.once('textDelta', () => stream.abort());
    await assert.rejects(stream.finalRun(), OpenAI.APIUserAbortError);
    assert.deepEqual([notes.error.length, notes.abort.length, notes.end.length], [0, 1, 1]);
    const { id, thread_id } = stream.currentRun();
    this.run = plain(await this.runs.poll(id, { thread_id }));
    this.told = null;
  }

  /** What a program that listens saw: each thing begun and ended once, and whole at its end. */
  emitted(notes, messages, steps, continues) {
    const of = (name) => notes[name].map(([first]) => first);
    assert.deepEqual([notes.error, notes.abort, notes.imageFileDone], [[], [], []]);
    assert.deepEqual([notes.connect.length, notes.end.length, notes.run.length], [1, 1, 1]);
    assert.deepEqual(of('run')[0], this.run);
    const events = of('event');
    assert.equal(events.at(-1).event, `thread.run.${this.run.status}`);
    const first = continues ? 'thread.run.step.completed' : 'thread.run.created';
    assert.equal(events.find(({ event }) => event !== 'thread.created').event, first);
    for (const name of ['message.delta', 'run.step.delta']) {
      const emitted = name === 'message.delta' ? notes.messageDelta : notes.runStepDelta;
      assert.equal(emitted.length, events.filter(({ event }) => event === `thread.${name}`).length);
    }

    assert.deepEqual(ids(of('messageCreated')), ids(messages));
    assert.deepEqual(of('messageDone'), messages);
    const texts = messages.flatMap(({ content }) => content.filter(({ type }) => type === 'text'));
    const values = texts.map(({ text }) => text.value).filter(Boolean);
    assert.equal(of('textDelta').map(({ value }) => value).join(''), values.join(''));
    assert.equal(notes.textCreated.length, values.length);
    assert.deepEqual(of('textDone').map(({ value }) => value), values);

    const begun = steps.filter(({ id }) => ids(of('runStepCreated')).includes(id));
    assert.deepEqual(ids(of('runStepCreated')), ids(begun));
    assert.equal(steps.length - begun.length, continues ? 1 : 0);
    assert.deepEqual(of('runStepDone'), steps.filter(({ status }) => status !== 'in_progress'));
    const calls = begun.flatMap(callsOf);
    assert.deepEqual(ids(of('toolCallCreated')), calls.map(([id]) => id));
    assert.deepEqual(of('toolCallDone').map(({ id, function: { name, arguments: text } }) => [id, name, text]), calls);
    assert.equal(of('toolCallDelta').map((delta) => delta.function.arguments).join(''), calls.map((c) => c[2]).join(''));
  }

  // --- Ends from outside ---------------------------------------------------------------------------------------------

  async cancelWhenItSpeaks() {
    while (!this.created) await sleep(20);
    const { id, thread_id } = this.created;
    while ((await all(this.runs.steps.list(id, { thread_id }))).length === 0) await sleep(20);
    assert.equal((await this.runs.cancel(id, { thread_id })).status, 'cancelling');
  }

  async letTimeEnd(seconds) {
    const { id, thread_id } = this.run;
    print({ expire: id, seconds });
    const soon = Date.now() / 1000 + 60;
    for (;;) {
      const { expires_at } = await this.runs.retrieve(id, { thread_id });
      if (expires_at === null || expires_at < soon) return;
      await sleep(20);
    }
  }

  async endWhileItWaits() {
    const { id, thread_id } = this.run;
    const outputs = this.outputs();
    if (this.scenario.ended === 'cancelled waiting') {
      assert.equal((await this.runs.cancel(id, { thread_id })).status, 'cancelling');
    } else {
      await this.letTimeEnd(-1);
    }
    do {
      await sleep(20);
      this.run = plain(await this.runs.poll(id, { thread_id }));
    } while (this.run.status === 'requires_action');

    const refused = { status: 400, message: /do not accept tool outputs/ };
    const stream = this.runs.submitToolOutputsStream(id, outputs);
    const notes = heard(stream);
    await assert.rejects(stream.finalRun(), refused);
    assert.deepEqual([notes.error.length, notes.end.length, notes.event.length], [1, 1, 0]);
    await assert.rejects(this.runs.submitToolOutputsAndPoll(id, outputs), refused);
  }

  // --- The end -------------------------------------------------------------------------------------------------------

  async endedWell() {
    const { run, scenario } = this;
    assert.equal(run.status, scenario.status);
    assert.equal(run.last_error?.code ?? run.incomplete_details?.reason ?? null, scenario.why);
    assert.deepEqual([run.required_action, run.expires_at], [null, null]);
    assert.deepEqual(run, plain(await this.runs.retrieve(run.id, { thread_id: run.thread_id })));
    const messages = await all(this.threads.messages.list(run.thread_id, { run_id: run.id, order: 'asc' }));
    const steps = await all(this.runs.steps.list(run.id, { thread_id: run.thread_id, order: 'asc' }));
    if (this.streams && this.told) {
      assert.deepEqual([...this.told.messages].sort(), ids(messages).sort());
      assert.deepEqual([...this.told.steps].sort(), ids(steps).sort());
    }
    for (const thing of [...messages, ...steps]) assert.notEqual(thing.status, 'in_progress');
    await this.threads.messages.create(run.thread_id, { role: 'user', content: 'next' });
  }
}

const { id: assistant } = await new OpenAI({ baseURL, apiKey }).beta.assistants.create({
  model: 'scripted',
  instructions: 'Be brief.',
  tools,
});
const journeys = scenarios.flatMap((scenario) =>
  (scenario.is_for_all ? [...STREAMING, ...POLLING] : ['stream', 'createAndPoll']).map((helper) => new Journey(scenario, helper, assistant)),
);
const waiting = journeys.values();
await Promise.all(
  Array.from({ length: SIDE_BY_SIDE }, async () => {
    for (const journey of waiting) {
      const where = { scenario: journey.scenario.name, helper: journey.helper };
      const started = Date.now();
      try {
        await journey.go();
      } catch (error) {
        surprise(where, error);
      }
      print({ ...where, status: journey.run.status, ms: Date.now() - started });
    }
  }),
);
