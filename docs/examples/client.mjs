// Open a chat with a first message: node client.mjs EVENT_ID MEMBER_ID TEXT
import { setTimeout as sleep } from "node:timers/promises";

const URL = `${process.env.RELAY}/v1/events`;
const TOKEN = process.env.SUBMIT_TOKEN;
const GIVE_UP_MS = 24 * 3600 * 1000;

async function post(event, waitSeconds) {
  const headers = { "Authorization": `Bearer ${TOKEN}`, "Content-Type": "application/json", "Prefer": `wait=${waitSeconds}` };
  const signal = AbortSignal.timeout((waitSeconds + 5) * 1000);
  const response = await fetch(URL, { method: "POST", headers, body: JSON.stringify(event), signal });
  return { status: response.status, retryAfter: response.headers.get("Retry-After"), text: await response.text() };
}

// Posts the event until it is complete or held; returns its record.
export async function openChat(event, waitSeconds = 10) {
  const until = performance.now() + GIVE_UP_MS;
  let pause = 0.5;
  while (performance.now() < until) {
    // Without a response the event may be stored or not: repeat it.
    const { status, retryAfter, text } = await post(event, waitSeconds).catch(() => ({ status: "no answer" }));
    if (status === 200) return JSON.parse(text);
    if (status < 500 && ![202, 408, 429].includes(status)) throw new Error(text); // a repeat would be refused too
    pause = /^\d+$/.test(retryAfter) ? Number(retryAfter) : Math.min(2 * pause, 60);
    console.error(`${status}: again in ${pause} s`);
    await sleep(pause * 1000);
  }
  throw new Error("gave up: look the event up later");
}

const [, script, event_id, member_id, text] = process.argv;
if (script?.endsWith("client.mjs")) {
  const occurred_at = new Date().toISOString();
  console.log(await openChat({ event_id, member_id, message: { text }, occurred_at }));
}
