// Opens reports in a real browser and prints, as JSON, what axe-core finds and whether a page scrolls
// sideways: node check.mjs MODULES CHROMIUM FILE...
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [modules, chromium, ...files] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${modules}/`));
const { chromium: browserType } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf-8");

const browser = await browserType.launch({
  executablePath: chromium,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
});
const found = [];
for (const file of files) {
  for (const [media, width] of [["screen", 1280], ["screen", 400], ["screen", 320], ["print", 794]]) {
    const page = await browser.newPage({ viewport: { width, height: 900 }, bypassCSP: true });
    const asked = [];
    page.on("request", (request) => asked.push(request.url()));
    await page.emulateMedia({ media });
    await page.goto(pathToFileURL(file).href);
    await page.evaluate(axe);
    const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - globalThis.innerWidth);
    found.push({
      file, media, width,
      overflow: media === "screen" ? wide : 0,
      requests: asked.length,
      passes: result.passes.length,
      violations: result.violations.map((v) => ({
        id: v.id, impact: v.impact, help: v.help,
        nodes: v.nodes.slice(0, 5).map((node) => node.html.slice(0, 300)), count: v.nodes.length,
      })),
    });
    await page.close();
  }
}
await browser.close();
console.log(JSON.stringify(found));
