// look.mjs CHROMIUM PAGE: open a report in Chromium as its readers do, and print what was found as JSON.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [executablePath, path] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const found = { requests: [], errors: [], axe: {}, wide: {}, scrolling: {} };
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

async function open(options = {}, hash = "") {
  const context = await browser.newContext({ viewport: { width: 1300, height: 900 }, ...options });
  const page = await context.newPage();
  page.on("request", (request) => { if (!/^(data|file):/.test(request.url())) found.requests.push(request.url()); });
  page.on("console", (message) => { if (message.type() === "error") found.errors.push(message.text()); });
  page.on("pageerror", (error) => found.errors.push(error.message));
  await page.goto(`file://${path}${hash}`);
  return page;
}

// The page's policy admits no foreign script: axe is given to the page by the debugger, which asks no policy.
for (const colorScheme of ["light", "dark"]) {
  const page = await open({ colorScheme });
  await page.evaluate(() => document.querySelectorAll("details").forEach((box) => { box.open = true; }));
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  found.axe[colorScheme] = violations.map(({ id, nodes }) => ({ id, nodes: nodes.slice(0, 5).map(({ html, failureSummary }) => [html.slice(0, 300), failureSummary]) }));
  await page.context().close();
}

for (const width of [390, 800, 1300]) {
  const page = await open({ viewport: { width, height: 900 } });
  found.wide[width] = await page.evaluate(() => document.documentElement.scrollWidth);
  found.scrolling[width] = await page.evaluate(() => [...document.querySelectorAll("figure.exhibit .scroll")].filter((box) => box.scrollWidth > box.clientWidth + 1).map((box) => box.closest("figure").id));
  if (width === 390) {
    found.card = await page.evaluate(() => {
      const [card] = document.querySelectorAll("details.claim > summary");
      return card && [".verdict", ".what"].map((part) => card.querySelector(part).getBoundingClientRect().top);
    });
  }
  await page.context().close();
}

const page = await open();
const left = () => page.evaluate(() => [...document.querySelectorAll("details.claim:not([hidden])")].map(({ id }) => id));
if (await page.locator("#filters").count()) {
  found.claims = await left();
  await page.locator("#filters input").fill("alone");
  found.searched = await left();
  await page.locator("#filters input").fill("");
  await page.locator("#filters select[data-key=verdict]").selectOption("supported");
  found.supported = await left();
  found.told = await page.locator("#found").textContent();
  const [hidden] = found.claims.filter((id) => !found.supported.includes(id));
  await page.evaluate((id) => { location.hash = id; }, hidden);
  await page.waitForFunction((id) => document.getElementById(id).open, hidden);
  found.revealed = await left(); // a link to a claim that was filtered out clears the filters
}
const sort = page.locator("figure.exhibit button.sort").nth(1);
const column = () => page.evaluate(() => {
  const table = [...document.querySelectorAll("figure.exhibit table")].find((one) => one.querySelector("button.sort"));
  return [...table.tBodies[0].rows].map((row) => row.cells[1].textContent);
});
if (await sort.count()) {
  found.unsorted = await column();
  await sort.press("Enter");
  found.ascending = await column();
  await sort.press("Enter");
  found.descending = await column();
}
const reference = page.locator("a.ref:visible").first();
if (await reference.count()) {
  await reference.focus();
  found.glance = await page.locator(".glance").isVisible();
  await page.keyboard.press("Escape");
  found.gone = await page.locator(".glance").isHidden();
}
const enlarge = page.locator("button.enlarge").first();
if (await enlarge.count()) {
  await enlarge.press("Enter");
  found.large = await page.locator("dialog.large img").isVisible();
  await page.keyboard.press("Escape");
}
const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
found.themes = [await background()];
for (let press = 0; press < 3; press += 1) {
  await page.locator("#theme").press("Enter");
  found.themes.push(await background());
}
await page.context().close();

const plain = await open({ javaScriptEnabled: false });
found.plain = await plain.locator("details.claim > summary").evaluateAll((rows) => rows.length).catch(() => null)
  ?? await plain.locator("details.claim > summary").count();
found.buttons = await plain.locator("button:visible").count();
await browser.close();
console.log(JSON.stringify(found));
