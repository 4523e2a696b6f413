// The JavaScript SDK as a client of the promises: a request and an answer per line of JSON, one at a time.
// Bytes travel as base64, numbers of 64 bits as text, properties as [type, value].
import { Buffer } from "node:buffer";
import { createInterface } from "node:readline";
import { ServiceBusClient } from "@azure/service-bus";
import Long from "long";

const DEAD_LETTERS = "/$DeadLetterQueue";
const SUBSCRIPTIONS = "/Subscriptions/";

const client = new ServiceBusClient(process.argv[2], { retryOptions: { maxRetries: 0, timeoutInMs: 10000 } });
const senders = new Map();
const receivers = new Map();
const held = new Map();

function sender(address) {
  if (!senders.has(address)) senders.set(address, client.createSender(address));
  return senders.get(address);
}

function receiver(address, deletes = false) {
  const key = `${address} ${deletes}`;
  if (!receivers.has(key)) receivers.set(key, open(address, deletes));
  return receivers.get(key);
}

function open(address, deletes) {
  const dead = address.endsWith(DEAD_LETTERS);
  const [entity, subscription] = (dead ? address.slice(0, -DEAD_LETTERS.length) : address).split(SUBSCRIPTIONS);
  const options = {
    receiveMode: deletes ? "receiveAndDelete" : "peekLock",
    subQueueType: dead ? "deadLetter" : undefined,
    maxAutoLockRenewalDurationInMs: 0,
    skipParsingBodyAsJson: true,
  };
  if (subscription === undefined) return client.createReceiver(entity, options);
  return client.createReceiver(entity, subscription, options);
}

function message({ body, properties, timeToLive, ...others }) {
  const given = Object.entries(properties).map(([name, typed]) => [name, property(typed)]);
  return {
    ...others,
    body: Buffer.from(body, "base64"),
    timeToLive: timeToLive === undefined ? undefined : timeToLive * 1000,
    applicationProperties: Object.fromEntries(given),
  };
}

function property([type, value]) {
  if (type === "datetime") return new Date(value);
  if (type === "bytes") return Buffer.from(value, "base64");
  return value;
}

function typed(value) {
  if (value instanceof Date) return ["datetime", value.getTime()];
  if (Buffer.isBuffer(value)) return ["bytes", value.toString("base64")];
  return ["json", value];
}

function shown(received) {
  const properties = Object.entries(received.applicationProperties ?? {});
  const handle = received.lockToken ?? "";
  if (handle) held.set(handle, received);
  return {
    body: received.body.toString("base64"),
    message_id: received.messageId ?? null,
    correlation_id: received.correlationId ?? null,
    subject: received.subject ?? null,
    content_type: received.contentType ?? null,
    reply_to: received.replyTo ?? null,
    to: received.to ?? null,
    properties: Object.fromEntries(properties.map(([name, value]) => [name, typed(value)])),
    sequence_number: received.sequenceNumber.toString(),
    delivery_count: received.deliveryCount,
    state: received.state,
    enqueued_at: received.enqueuedTimeUtc.getTime(),
    locked_until: received.lockedUntilUtc?.getTime() ?? null,
    dead_letter_reason: received.deadLetterReason ?? null,
    dead_letter_description: received.deadLetterErrorDescription ?? null,
    handle,
  };
}

const longs = (numbers) => numbers.map((number) => Long.fromString(number));

const settlements = {
  complete: (from, received) => from.completeMessage(received),
  abandon: (from, received, { changes }) => from.abandonMessage(received, changes),
  defer: (from, received, { changes }) => from.deferMessage(received, changes),
  dead_letter: (from, received, { reason, description, changes }) =>
    from.deadLetterMessage(received, {
      deadLetterReason: reason,
      deadLetterErrorDescription: description,
      ...changes,
    }),
};

const methods = {
  async send({ address, messages }) {
    const built = messages.map(message);
    await sender(address).sendMessages(built.length > 1 ? built : built[0]);
  },
  async schedule({ address, messages, at }) {
    const numbers = await sender(address).scheduleMessages(messages.map(message), new Date(at));
    return numbers.map(String);
  },
  cancel: ({ address, numbers }) => sender(address).cancelScheduledMessages(longs(numbers)),
  async receive({ address, count, deletes, wait }) {
    const found = await receiver(address, deletes).receiveMessages(count, { maxWaitTimeInMs: wait * 1000 });
    return found.map(shown);
  },
  async receive_deferred({ address, numbers }) {
    return (await receiver(address).receiveDeferredMessages(longs(numbers))).map(shown);
  },
  async peek({ address, count, first }) {
    const options = { fromSequenceNumber: Long.fromNumber(first) };
    return (await receiver(address).peekMessages(count, options)).map(shown);
  },
  settle: ({ address, handle, how, ...why }) => settlements[how](receiver(address), held.get(handle), why),
  async renew({ address, handle }) {
    return (await receiver(address).renewMessageLock(held.get(handle))).getTime();
  },
  async accept_session({ address }) {
    await (await client.acceptSession(address, "one")).close();
  },
  async create_rule({ topic, subscription }) {
    await client.createRuleManager(topic, subscription).createRule("red", { subject: "red" });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { method, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = { result: (await methods[method](given)) ?? null };
  } catch (error) {
    answer = { error: [error.code ?? error.name, error.message] };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await client.close();
