// Every screen in a real browser: in three languages, narrow and wide, light and dark, under axe, and what happens on it.
//   node screens.mjs --url http://127.0.0.1:8000 [--out FOLDER]
// Says what is wrong, a line each, and ends with 1; the pictures go into the folder.
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { browsing, FLAGS, keepPeers, speaking } from "./browser.mjs";
import { spoken } from "./spoken.mjs";
import { uses, withVoice } from "./uses.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string" },
    out: { type: "string" },
    only: { type: "string" },
    use: { type: "string" },
    chromium: { type: "string", default: "/usr/bin/chromium" },
  },
});
const base = values.url.replace(/\/$/, "");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = [
  [360, 740, "light"],
  [1280, 800, "dark"],
];
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];
const faults = [];
const fault = (where, says) => {
  faults.push(`${where}: ${says}`);
  console.log(`${where}: ${says}`);
};

/** The screens, the newest call's among them. */
async function screens() {
  const { calls } = await (await fetch(`${base}/api/v1/calls?limit=50`)).json();
  const spoken = calls.find((call) => call.turn_count > 1) ?? calls[0];
  const { campaigns } = await (await fetch(`${base}/api/v1/campaigns?limit=1`)).json();
  const parts = ["trunks", "plans", "keys", "webhooks", "bans", "config"].map((part) => [`system-${part}`, `/system/${part}`]);
  return [
    ["talk", "/"],
    ["transcribe", "/transcribe"],
    ["speak", "/speak"],
    ["translate", "/translate"],
    ["calls", "/calls"],
    ["campaigns", "/campaigns"],
    ["requests", "/requests"],
    ["system", "/system"],
    ...parts,
    ["missing", "/nothing/here"],
    ...(spoken ? [["call", `/calls/${spoken.id}`]] : []),
    ...campaigns.map(({ id }) => ["campaign", `/campaigns/${id}`]),
  ].filter(([name]) => !values.only || values.only.split(",").includes(name));
}

async function opened(browser, language, [width, height, colours]) {
  const context = await browser.newContext({
    viewport: { width, height },
    locale: language,
    colorScheme: colours,
    reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  // What a refusal, or the network that one use takes away, makes the browser say.
  const expected = /status of (401|404|422|503)|ERR_INTERNET_DISCONNECTED/;
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type()) && !expected.test(message.text()))
      fault(page.url(), `console: ${message.text()}`);
  });
  page.on("pageerror", (error) => fault(page.url(), `script: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(base) && !/^(blob|data):/.test(request.url()))
      fault(page.url(), `asked elsewhere: ${request.url()}`);
  });
  return page;
}

/** The page has drawn what it asked for. */
async function settled(page) {
  await page.locator("main h1").first().waitFor();
  await page.waitForFunction(() => !document.querySelector(".loading"));
}

async function judged(page, where) {
  // As the debugger does it: the page's own policy lets no other script in.
  await page.evaluate(AXE);
  const found = await page.evaluate(async (rules) => {
    const { violations } = await window.axe.run(document, { runOnly: { type: "tag", values: rules } });
    return violations.map(
      ({ id, nodes }) =>
        `${id}: ${nodes
          .slice(0, 3)
          .map(
            (node) => `${node.target.join(" ")} (${node.any[0]?.message ?? node.all[0]?.message ?? node.none[0]?.message ?? ""})`,
          )
          .join("; ")}`,
    );
  }, RULES);
  for (const violation of found) fault(where, `axe ${violation}`);
  const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (tooWide > 0) fault(where, `wider than the window by ${tooWide} px`);
}

async function look(browser) {
  const all = await screens();
  for (const language of ["mg", "fr", "en"]) {
    for (const size of SIZES) {
      const page = await opened(browser, language, size);
      for (const [name, path] of all) {
        const where = `${name} ${language} ${size[0]}`;
        await page.goto(base + path);
        await settled(page);
        if ((await page.getAttribute("html", "lang")) !== language) fault(where, "the page is not in the browser's language");
        await judged(page, where);
        if (values.out) await page.screenshot({ path: join(values.out, `${name}-${language}-${size[0]}.png`), fullPage: true });
      }
      await hidden(page, `${language} ${size[0]}`);
      await page.context().close();
    }
  }
}

/** What is seen only now and then: the settings, the big button, a page that needs a key. */
async function hidden(page, where) {
  const seen = async (name) => {
    await judged(page, `${name} ${where}`);
    if (values.out) await page.screenshot({ path: join(values.out, `${name}-${where.replace(" ", "-")}.png`) });
  };
  await page.goto(base);
  await settled(page);
  await page.locator(".settings summary").click();
  await seen("settings");
  await page.goto(`${base}/campaigns`);
  await page.locator("main .title .button").click();
  await page.locator("main form details summary").click();
  await seen("new-campaign");
  await withVoice(page);
  await page.goto(base);
  await page.locator(".big").waitFor();
  await seen("voice");
  await page.route(/\/api\/v1\/calls/, (route) =>
    route.fulfill({ status: 401, json: { type: "about:blank", title: "Unauthorized", status: 401, detail: "this needs a key" } }),
  );
  await page.goto(`${base}/calls`);
  await page.locator("main .key-form").waitFor();
  await seen("key");
}

async function used(browser) {
  for (const [name, use] of Object.entries(uses({ base, out: values.out, fault, judged, settled }))) {
    if (values.use && !name.includes(values.use)) continue;
    const page = await opened(browser, "en", SIZES[1]);
    try {
      await use(page);
    } catch (error) {
      fault(name, error.message.split("\nCall log:")[0]);
      if (values.out) await page.screenshot({ path: join(values.out, `fault-${name.replaceAll(" ", "-")}.png`) });
    }
    await page.context().close();
  }
}

/** A whole conversation with this very Milo, by WebRTC: a recording is what the microphone hears, behind the greeting. */
async function talked() {
  await speaking(
    6,
    async (browser) => {
      const page = await opened(browser, "mg", SIZES[1]);
      await keepPeers(page);
      try {
        for (const figure of await spoken(page, { base, out: values.out })) console.log(figure);
      } catch (error) {
        fault("a conversation with this Milo", error.message);
        if (values.out) await page.screenshot({ path: join(values.out, "fault-spoken.png") });
      }
    },
    values.chromium,
  );
}

if (values.out) await mkdir(values.out, { recursive: true });
if (!values.use) await browsing(FLAGS, look, values.chromium);
if (!values.only && (!values.use || values.use === "spoken")) await talked();
if (!values.only && values.use !== "spoken") await browsing(FLAGS, used, values.chromium);
if (!faults.length) console.log("every screen is as it should be");
process.exitCode = faults.length ? 1 : 0;
