// Take pictures of pages. stdin: {browser, shots: [{page, picture, width, height, dark, at}]}; `at` is an id to scroll to.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const npm = createRequire(new URL("../npm/package.json", import.meta.url));
const { chromium } = npm("playwright-core");
const { browser: executablePath, shots } = JSON.parse(readFileSync(0, "utf8"));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args });
for (const { page: file, picture, width, height, dark, at } of shots) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: dark ? "dark" : "light" });
  const page = await context.newPage();
  await page.goto(pathToFileURL(file).href);
  if (at) await page.evaluate((id) => document.getElementById(id).scrollIntoView(), at);
  await page.screenshot({ path: picture });
  await context.close();
}
await browser.close();
