// Prints what the AsyncAPI Initiative's parser finds in a document: [severity, code, message] each, 0 an error.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(process.argv[2], "utf8"));
const found = diagnostics.map(({ severity, code, message }) => [severity, String(code), message]);
const operations = document?.operations().all().map((each) => [each.id(), each.action()]) ?? [];
process.stdout.write(JSON.stringify({ found, operations }));
