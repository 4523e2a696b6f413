// Runs the examples of docs/publishing.md: publishes an event, then takes outcomes and checks them by the
// published schema alone. Arguments: connection string, the two examples, the event, the schema, how many.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { ServiceBusClient } from "@azure/service-bus";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const [connectionString, publisher, subscriber, eventFile, schemaFile, count] = process.argv.slice(2);
const { publish } = await import(pathToFileURL(publisher));
const { take } = await import(pathToFileURL(subscriber));
const json = (file) => JSON.parse(readFileSync(file, "utf8"));

const ajv = addFormats(new Ajv2020({ allErrors: true }));
const validate = ajv.compile(json(schemaFile));
const client = new ServiceBusClient(connectionString, { retryOptions: { maxRetries: 0, timeoutInMs: 10000 } });
try {
  await publish(client, "acceptance-4711", json(eventFile));
  let left = Number(count);
  while (left > 0) {
    await take(client, "crm", (outcome) => {
      const told = { valid: validate(outcome), errors: validate.errors ?? [], outcome };
      process.stdout.write(`${JSON.stringify(told)}\n`);
      left -= 1;
    });
  }
} finally {
  await client.close();
}
