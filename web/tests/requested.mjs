// What people do with campaigns, and with what callers want of them.
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** `judged` holds a page against axe. */
export function requested({ base, out, judged }) {
  return {
    async "a campaign is begun with a file, seen, stopped, saved and deleted"(page) {
      const dial = (await (await fetch(`${base}/api/v1/health`)).json()).dial.find((known) => known.number === "music").uri;
      const list = [`number`, dial.replace("music@", "nowhere@"), dial, dial.replace("music@", "echo@")].join("\n");
      const csv = (text) => ({ name: "people.csv", mimeType: "text/csv", buffer: Buffer.from(text) });
      await page.goto(`${base}/campaigns`);
      await page.getByRole("button", { name: "New campaign" }).click();
      await page.getByLabel("Name", { exact: true }).fill("Reminders");
      await page.getByLabel("Dialplan").selectOption("echo");
      // At any time: the scenario runs whenever it does.
      await page.getByRole("button", { name: "Remove these hours" }).click();
      await page.getByText("At any time.").waitFor();
      await page.getByText("Who is called again", { exact: true }).click();
      await page.getByLabel("How often again: busy").fill("2");
      // What is wrong with the list is told in Milo's own words, by line and field.
      await page.getByLabel("List (CSV)").setInputFiles(csv("number,colour\n0341234567,red\n"));
      await page.getByRole("button", { name: "Begin" }).click();
      await page.getByText("line 2, colour: no plan knows the variable").waitFor();
      await page.getByLabel("List (CSV)").setInputFiles(csv(list));
      const asked = page.waitForRequest((request) => request.method() === "POST" && request.url().endsWith("/api/v1/campaigns"));
      await page.getByRole("button", { name: "Begin" }).click();
      if (!/^[0-9a-f]{32}$/.test((await asked).headers()["idempotency-key"] ?? "")) throw new Error("it has no key of its own");
      await page.getByRole("heading", { name: "Reminders" }).waitFor();
      // Nobody is at the first number; the second listens for as long as it is called, and the third waits.
      const rows = page.locator(".numbers tbody tr");
      await rows.filter({ hasText: "being called" }).waitFor();
      await rows.nth(0).getByText("refused", { exact: true }).waitFor();
      await judged(page, "campaign that runs");
      if (out) await page.screenshot({ path: join(out, "campaign.png"), fullPage: true });
      await page.locator(".numbers").getByLabel("State").selectOption("waiting");
      await page.waitForFunction(() => document.querySelectorAll(".numbers tbody tr").length === 1);
      await page.locator(".numbers").getByLabel("State").selectOption("");
      await page.getByRole("button", { name: "Pause" }).click();
      await page.getByRole("button", { name: "Resume" }).click();
      await page.getByRole("button", { name: "Pause" }).waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Stop" }).click();
      await page.locator(".facts").getByText("stopped").waitFor();
      // The call that is up goes on; it is hung up on where calls are.
      await page.goto(`${base}/calls`);
      await page.getByRole("button", { name: "Hang up" }).first().click();
      await page.getByRole("dialog").getByRole("button", { name: "Hang up" }).click();
      await page.getByRole("link", { name: "Campaigns" }).click();
      const row = page.locator(".campaign-row").filter({ hasText: "Reminders" });
      await row.getByText("3 of 3").waitFor();
      await row.click();
      await rows.nth(2).getByText("not called any more").waitFor();
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: "Results as CSV" }).click(),
      ]);
      const saved = await readFile(await file.path(), "utf8");
      if (!saved.startsWith("line,number,") || !saved.includes(",done,refused,")) throw new Error(`the file is ${saved}`);
      await page.getByRole("button", { name: "Delete" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
      await page.getByRole("heading", { name: "Campaigns" }).waitFor();
      await page.locator(".campaign-row").filter({ hasText: "Reminders" }).waitFor({ state: "detached" });
    },
    async "whoever may only read is offered nothing that would be refused"(page) {
      await page.route("**/api/v1/sign-in", (route) => route.fulfill({ json: { name: "reception", scopes: ["read"] } }));
      await page.route(/\/api\/v1\/campaigns\?/, (route) => route.fulfill({ json: { campaigns: [], next: null } }));
      await page.goto(`${base}/campaigns`);
      await page.getByText("Whoever has a key with the scope calls can begin one here.").waitFor();
      if (await page.getByRole("button", { name: "New campaign" }).count()) throw new Error("a campaign is offered");
      await page.goto(`${base}/requests`);
      await page.locator(".card").first().waitFor();
      if (await page.getByRole("button", { name: "Mark as done" }).count()) throw new Error("a request can be marked");
    },
    async "a request is read, its call opened, and it is marked as done and opened again"(page) {
      await page.goto(`${base}/requests`);
      const wish = page.locator(".card").filter({ hasText: "0341234567" });
      await wish.getByText("Ny vidin'ny tapakila.").waitFor();
      await wish.getByText("call back").waitFor();
      await judged(page, "requests");
      if (out) await page.screenshot({ path: join(out, "requests.png") });
      await page.getByRole("radio", { name: "message" }).check({ force: true });
      await page.getByText("Nobody waits for anything.").waitFor();
      await page.getByRole("radio", { name: "call back" }).check({ force: true });
      await wish.getByRole("button", { name: "Mark as done" }).click();
      await page.getByText("Nobody waits for anything.").waitFor();
      await page.getByRole("radio", { name: "Done" }).check({ force: true });
      await wish.getByText("Done by this machine").waitFor();
      // The choice stands in the address, and so can be kept.
      await page.reload();
      await wish.getByRole("button", { name: "Open again" }).click();
      await page.getByText("There are none.").waitFor();
      await page.getByRole("radio", { name: "Open" }).check({ force: true });
      await wish.getByRole("link", { name: "The call" }).click();
      await page.getByRole("heading", { name: /^Call from .* to wishes$/ }).waitFor();
    },
  };
}
