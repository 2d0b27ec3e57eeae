// Post an event with a signature by Standard Webhooks: node signed.mjs EVENT_ID USER_ID
import { createHmac } from "node:crypto";

const URL = `${process.env.RELAY}/v1/events`;
const KEY = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");

// The three headers: each send needs its own, since they are good for five minutes.
function sign(eventId, body, now) {
  const seconds = Math.round(now / 1000);
  const signature = createHmac("sha256", KEY).update(`${eventId}.${seconds}.${body}`).digest("base64");
  return { "webhook-id": eventId, "webhook-timestamp": `${seconds}`, "webhook-signature": `v1,${signature}` };
}

// Posts the event; if the relay refuses it, signs it once more by the relay's clock.
async function post(eventId, event) {
  const body = JSON.stringify(event);
  const send = (now) => {
    const headers = { "Content-Type": "application/json", ...sign(eventId, body, now) };
    return fetch(URL, { method: "POST", headers, body, signal: AbortSignal.timeout(15_000) });
  };
  const answer = await send(Date.now());
  return answer.status === 401 ? send(Date.parse(answer.headers.get("Date"))) : answer;
}

const [, , eventId, userId] = process.argv;
const answer = await post(eventId, { user_id: userId });
console.log(answer.status, await answer.text());
