// Talking to the server. Nothing else on the page does.

const KEY = "fusebox-token";
let askForToken = async () => null;

/** `ask` shows the dialog for the token; it answers once one was entered. */
export function onTokenNeeded(ask) {
  askForToken = ask;
}

/** An answer that is a refusal, in the server's words. */
export class Refused extends Error {}

export async function get(path) {
  return (await request(path)).json();
}

export async function post(path, body) {
  const headers = { "content-type": "application/json", "x-fusebox-action": "1" };
  return (await request(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const headers = { ...options.headers };
    if (token) headers.authorization = `Bearer ${token}`;
    const response = await fetch(path, { ...options, headers, cache: "no-store" });
    if (response.ok) return response;
    if (response.status === 401) {
      sessionStorage.setItem(KEY, await askForToken(token !== null));
      continue;
    }
    const body = await response.json().catch(() => ({}));
    throw new Refused(body.error ?? `the server answered ${response.status}`);
  }
}

/**
 * Follows the events for ever. `fetch` and not `EventSource`, which cannot carry a token. After a break it begins anew,
 * a little later each time.
 */
export async function follow({ onEvent, onMissed, onLink }) {
  let wait = 250;
  for (;;) {
    try {
      const response = await request("/api/events");
      onLink(true);
      wait = 250;
      for await (const [kind, data] of messages(response.body)) {
        if (kind === "missed") onMissed(JSON.parse(data).missed);
        else onEvent(JSON.parse(data));
      }
    } catch (error) {
      if (!(error instanceof TypeError || error instanceof Refused)) console.warn(error);
    }
    onLink(false);
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 5000);
  }
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      const field = (name) => part.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
      const data = field("data");
      // A comment is a sign of life and no more.
      if (data !== undefined) yield [field("event"), data];
    }
  }
}
