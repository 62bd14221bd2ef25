// A stream with a function of the program's own, with OpenAI's SDK for Node: npm install openai
import OpenAI from 'openai';

const MODEL = process.env.HOLDFAST_MODEL ?? 'demo';
// The line `call:` is for the demo model. A real model decides by itself.
const QUESTION = 'How warm is it in Lisbon?\ncall:get_weather {"city": "Lisbon"}';
const WEATHER = {
  type: 'function',
  function: {
    name: 'get_weather',
    description: 'The weather in a city',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
};
const getWeather = ({ city }) => ({ city, celsius: 21 });

const client = new OpenAI(); // reads OPENAI_BASE_URL and OPENAI_API_KEY

const assistant = await client.beta.assistants.create({ model: MODEL, tools: [WEATHER] });
const thread = await client.beta.threads.create({ messages: [{ role: 'user', content: QUESTION }] });

async function printed(stream) {
  stream.on('textDelta', (delta) => process.stdout.write(delta.value ?? ''));
  return stream.finalRun();
}

let run = await printed(client.beta.threads.runs.stream(thread.id, { assistant_id: assistant.id }));
while (run.status === 'requires_action') {
  const outputs = run.required_action.submit_tool_outputs.tool_calls.map((call) => {
    console.log(`${call.function.name}(${call.function.arguments})`);
    return { tool_call_id: call.id, output: JSON.stringify(getWeather(JSON.parse(call.function.arguments))) };
  });
  run = await printed(
    client.beta.threads.runs.submitToolOutputsStream(run.id, { thread_id: thread.id, tool_outputs: outputs }),
  );
}
console.log(`\nstatus: ${run.status}`);
