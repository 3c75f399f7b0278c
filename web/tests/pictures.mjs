// The two pictures of the README, of a running Milo that is talked with:
//   MILO__RECORDING__ENABLED=true cargo run --release -- serve
//   npm --prefix web run pictures -- --url http://127.0.0.1:8000
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ANSWER, SAID, speaking } from "./browser.mjs";

const { values } = parseArgs({
  options: {
    url: { type: "string", default: "http://127.0.0.1:8000" },
    out: { type: "string", default: fileURLToPath(new URL("../pictures", import.meta.url)) },
  },
});

await speaking(6, async (browser) => {
  const look = { viewport: { width: 1100, height: 880 }, locale: "en", colorScheme: "light" };
  const page = await (await browser.newContext(look)).newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(values.url);
  await page.locator(".big").click();
  await page.locator(".said.you").filter({ hasText: SAID }).waitFor();
  await page.locator(".said.milo .about").filter({ hasText: " ms" }).waitFor();
  await page.getByLabel("Message").fill("firy ariary ny tapakila");
  await page.keyboard.press("Enter");
  await page.locator(".said.you + .said.milo").nth(1).waitFor();
  await page.waitForTimeout(700);
  await page.screenshot({ path: join(values.out, "talk.png") });
  await page.locator(".said.you + .said.milo").nth(1).locator(".about .place").waitFor();
  const call = await page.evaluate(async () => (await (await fetch("/api/v1/calls?limit=1")).json()).calls[0]);
  await page.locator(".composer").getByRole("button", { name: "End", exact: true }).click();
  await page.locator(".voice.idle").waitFor();
  await page.goto(new URL(`/calls/${call.id}`, values.url).href);
  await page.getByText(ANSWER).first().waitFor();
  const load = page.getByRole("button", { name: "Load the recording" });
  await load.click();
  await load.waitFor({ state: "detached" });
  await page.mouse.move(0, 0);
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(values.out, "call.png") });
});
