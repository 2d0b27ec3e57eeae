// Post an event, signed by Standard Webhooks: node signed.mjs EVENT_ID MEMBER_ID TEXT
import { createHmac } from "node:crypto";

const URL = `${process.env.RELAY}/v1/events`;
const KEY = Buffer.from(process.env.WEBHOOK_SECRET.replace(/^whsec_/, ""), "base64");

// Returns the three headers; sign each request anew, since they expire after five minutes.
function sign(eventId, body, now) {
  const seconds = Math.round(now / 1000);
  const signature = createHmac("sha256", KEY).update(`${eventId}.${seconds}.${body}`).digest("base64");
  return { "webhook-id": eventId, "webhook-timestamp": `${seconds}`, "webhook-signature": `v1,${signature}` };
}

// Posts the event; after a 401 signs it once more with the relay's time.
async function post(eventId, event) {
  const body = JSON.stringify(event);
  const send = (now) => {
    const headers = { "Content-Type": "application/json", ...sign(eventId, body, now) };
    return fetch(URL, { method: "POST", headers, body, signal: AbortSignal.timeout(15_000) });
  };
  const response = await send(Date.now());
  return response.status === 401 ? send(Date.parse(response.headers.get("Date"))) : response;
}

const [, , eventId, member_id, text] = process.argv;
const response = await post(eventId, { member_id, message: { text } });
console.log(response.status, await response.text());
