// Hold pages against the HTML standard; print what html-validate finds, by file.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const found = createRequire(new URL("../npm/package.json", import.meta.url)).resolve("html-validate");
const { HtmlValidate } = await import(pathToFileURL(found));
const validator = new HtmlValidate({
  root: true,
  extends: ["html-validate:standard", "html-validate:a11y"],
});
const told = {};
for (const file of process.argv.slice(2)) {
  const report = await validator.validateFile(file);
  told[file] = report.results.flatMap((each) => each.messages.map((one) => `${one.line}: ${one.ruleId}: ${one.message}`));
}
process.stdout.write(JSON.stringify(told));
