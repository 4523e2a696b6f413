// What a CRM in JavaScript needs to learn what became of its events: the SDK, and the schema as it is published.
// node subscriber.mjs CONNECTION_STRING TOPIC SUBSCRIPTION SCHEMA_FILE COUNT; prints one JSON object per event.
import { readFileSync } from "node:fs";
import { ServiceBusClient } from "@azure/service-bus";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const WAIT = { maxWaitTimeInMs: 20000 };
const [connectionString, topic, subscription, schemaFile, count] = process.argv.slice(2);

const ajv = new Ajv2020({ strict: true, allErrors: true });
addFormats(ajv);
const isOutcomeEvent = ajv.compile(JSON.parse(readFileSync(schemaFile, "utf8")));

// An event may come twice: its id is the same again.
const known = new Set();

async function take(receiver, message) {
  const event = message.body;
  if (!isOutcomeEvent(event)) {
    await receiver.deadLetterMessage(message, { deadLetterReason: "NotAnOutcomeEvent" });
    return { errors: isOutcomeEvent.errors.map(({ instancePath, message: why }) => `${instancePath} ${why}`) };
  }
  const repeated = known.has(event.id);
  known.add(event.id);
  await receiver.completeMessage(message);
  return { repeated, event, told: act(event), filterable: message.applicationProperties, errors: [] };
}

// By the schema alone: no word of a text is looked at.
function act({ causationid, subject, data }) {
  const of = subject ?? causationid;
  if (!data.final) return `${of} waits`;
  if (data.resend) return `${of} is to be sent again: ${data.detail}`;
  return data.advice === "Nothing" ? `${of} can buy` : `${of} is with ${data.actor}`;
}

const client = new ServiceBusClient(connectionString);
const receiver = client.createReceiver(topic, subscription);
for (let left = Number(count); left > 0; ) {
  const messages = await receiver.receiveMessages(left, WAIT);
  if (messages.length === 0) break;
  left -= messages.length;
  for (const message of messages) {
    process.stdout.write(`${JSON.stringify(await take(receiver, message))}\n`);
  }
}
await client.close();
