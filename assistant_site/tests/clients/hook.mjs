// `useAssistant` of @ai-sdk/react in a window without a browser, with the guide's route behind it: node hook.mjs ROUTE
//
// Puts two questions, and prints after each what the hook knows, as a line of JSON.
import { pathToFileURL } from 'node:url';
import { Window } from 'happy-dom';

// The route is the server's, so it is there before the window.
const { POST } = await import(pathToFileURL(process.argv[2]).href);

const window = new Window({ url: 'http://localhost/' });
Object.assign(globalThis, { window, document: window.document, IS_REACT_ACT_ENVIRONMENT: true });
if (!('navigator' in globalThis)) globalThis.navigator = window.navigator; // Node 21 has its own
const { createElement, act } = await import('react');
const { createRoot } = await import('react-dom/client');
const { useAssistant } = await import('@ai-sdk/react');

let hook;
function Page() {
  hook = useAssistant({ api: 'http://localhost/api/assistant', fetch: (url, init) => POST(new Request(url, init)) });
  return null;
}

await act(async () => createRoot(document.createElement('div')).render(createElement(Page)));
for (const content of ['Lisbon?\ncall:get_weather {"city": "Lisbon"}', 'And who are you?']) {
  await act(() => hook.append({ role: 'user', content }));
  const messages = hook.messages.map((message) => [message.role, message.content]);
  console.log(JSON.stringify({ status: hook.status, thread: hook.threadId, messages, error: hook.error?.message }));
}
process.exit(0);
