// Open pages in a real browser as people do, and print what was seen. stdin: {browser, pages: {name: file}}.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const npm = createRequire(new URL("../npm/package.json", import.meta.url));
const { chromium } = npm("playwright-core");
const axe = readFileSync(npm.resolve("axe-core/axe.min.js"), "utf8");
const { browser: executablePath, pages } = JSON.parse(readFileSync(0, "utf8"));
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync"];
const browser = await chromium.launch({ executablePath, args });

const watch = () => {
  window.violated = [];
  document.addEventListener("securitypolicyviolation", (event) => window.violated.push(`${event.violatedDirective}: ${event.blockedURI}`));
};

// A page with an eye on all that must not happen: requests, errors, dialogs, breaches of its policy.
async function open(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  const seen = { requests: [], errors: [], dialogs: [] };
  const own = pathToFileURL(pages[name]).href;
  page.on("request", (request) => { if (request.url() !== own && !request.url().startsWith("data:")) seen.requests.push(request.url()); });
  page.on("console", (message) => { if (["error", "warning"].includes(message.type())) seen.errors.push(message.text()); });
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("dialog", async (dialog) => { seen.dialogs.push(dialog.message()); await dialog.dismiss(); });
  await page.addInitScript(watch);
  const begun = performance.now();
  await page.goto(own);
  seen.milliseconds = performance.now() - begun;
  return { context, page, seen };
}

async function close({ context, page, seen }) {
  seen.violations = await page.evaluate(() => window.violated);
  await context.close();
  return seen;
}

async function judge(page) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ["violations"] }));
  return found.violations.flatMap((each) => each.nodes.slice(0, 3).map((node) => `${each.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}

// What axe finds with everything open: light, dark, and once of each kind on paper and on a small screen.
async function look(name) {
  const opened = await open(name);
  const { page, seen } = opened;
  await page.locator("#fold").click();
  seen.axe = { light: await judge(page) };
  seen.background = { light: await page.evaluate(() => getComputedStyle(document.body).backgroundColor) };
  await page.emulateMedia({ colorScheme: "dark" });
  seen.axe.dark = await judge(page);
  seen.background.dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.emulateMedia({ colorScheme: "light", media: "print" });
  if (name === "run") seen.axe.print = await judge(page);
  await page.emulateMedia({ media: "screen" });
  await page.setViewportSize({ width: 400, height: 800 });
  if (name === "status") seen.axe.narrow = await judge(page);
  seen.sideways = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  return close(opened);
}

const rows = (page) => page.locator("#t-slots tbody tr:visible");
const texts = (page, column) => page.locator(`#t-slots tbody tr:visible > :nth-child(${column})`).allTextContents();

// Sort, search, unfold and print, with the keyboard alone where a person may have nothing else.
async function use(name) {
  const opened = await open(name);
  const { page, seen } = opened;
  await page.keyboard.press("Tab");
  seen.first = await page.evaluate(() => document.activeElement.textContent);
  await page.keyboard.press("Enter");
  seen.skipped = await page.evaluate(() => document.activeElement.id);
  const head = page.locator("#t-slots thead th").nth(6);
  seen.unsorted = await head.getAttribute("aria-sort");
  await head.locator("button").focus();
  await page.keyboard.press("Enter");
  seen.up = { sort: await head.getAttribute("aria-sort"), days: await texts(page, 7) };
  await page.keyboard.press("Space");
  seen.down = { sort: await head.getAttribute("aria-sort"), days: await texts(page, 7) };
  const search = page.getByRole("searchbox");
  const status = page.locator("search.tools [role=status]");
  seen.all = { rows: await rows(page).count(), told: await status.textContent() };
  await search.fill("TURN core3");
  seen.searched = { rows: await rows(page).allTextContents(), told: await status.textContent() };
  await search.fill("alt.core1.example");
  seen.named = await rows(page).count();
  await search.fill("");
  await page.getByRole("checkbox").check();
  seen.loud = { states: await texts(page, 3), told: await status.textContent() };
  await page.getByRole("checkbox").uncheck();
  const link = rows(page).first().locator("td a").first();
  const target = (await link.getAttribute("href")).slice(1);
  await link.focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction((id) => document.getElementById(id).open, target);
  seen.unfolded = await page.evaluate(() => document.activeElement.parentElement.id) === target;
  seen.shut = await page.locator("main details:not([open])").count();
  const paper = await page.pdf({ format: "A4" });
  seen.paper = paper.length;
  seen.shutAfterPrint = await page.locator("main details:not([open])").count();
  await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  seen.shutOnPaper = await page.locator("main details:not([open])").count();
  await page.emulateMedia({ media: "print" });
  seen.navOnPaper = await page.locator("nav").isVisible();
  return close(opened);
}

async function plain(name) {
  const opened = await open(name, { javaScriptEnabled: false });
  const seen = { rows: await opened.page.locator("#t-slots tbody tr:visible").count(), tools: await opened.page.locator("search.tools:visible").count() };
  await opened.context.close();
  return seen;
}

const told = { looks: {}, version: browser.version() };
for (const name of Object.keys(pages).filter((each) => !each.startsWith("large"))) told.looks[name] = await look(name);
told.used = await use("status");
told.large = await use("large-status");
told.plain = await plain("status");
await browser.close();
process.stdout.write(JSON.stringify(told));
