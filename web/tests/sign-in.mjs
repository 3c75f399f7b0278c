// What becomes of the link that a start prints in its terminal.
//   node sign-in.mjs --link 'http://127.0.0.1:8000/#sign-in=link_…'
import { parseArgs } from "node:util";
import { browsing, FLAGS } from "./browser.mjs";

const { values } = parseArgs({ options: { link: { type: "string" } } });

await browsing(FLAGS, async (browser) => {
  const opened = async () => {
    const page = await (await browser.newContext({ locale: "fr" })).newPage();
    page.setDefaultTimeout(20_000);
    await page.goto(values.link);
    await page.locator("main h1").first().waitFor();
    return page;
  };
  const page = await opened();
  await page.getByText("Vous êtes connecté.").waitFor();
  if (page.url().includes("link_")) throw new Error(`the link is still in the address: ${page.url()}`);
  // With it everything may be done.
  await page.goto(`${new URL(values.link).origin}/system/keys`);
  await page.getByRole("heading", { name: "Nouvelle clé" }).waitFor();
  // Another browser that finds the same link is told that it was used, and how to get in.
  const other = await opened();
  await other.getByRole("heading", { name: "Ce lien ne connecte pas" }).waitFor();
  await other.getByText("Ce lien a déjà servi ou est trop vieux.").waitFor();
  await other.locator("main").getByText("milo keys create").waitFor();
  // Signed out is out, for whoever kept the key as well.
  const key = await page.evaluate(() => sessionStorage.getItem("milo.key"));
  await page.locator(".settings summary").click();
  await page.getByText("Connecté par le lien du terminal.").waitFor();
  const ended = page.waitForResponse((response) => response.request().method() === "DELETE" && response.url().endsWith("/sign-in"));
  await page.getByRole("button", { name: "Se déconnecter" }).click();
  if ((await ended).status() !== 204) throw new Error("the key goes on after signing out");
  const kept = await page.evaluate(
    async (key) => (await fetch("/api/v1/keys", { headers: { authorization: `Bearer ${key}` } })).status,
    key,
  );
  if (kept !== 401) throw new Error(`the key of before opens the keys: ${kept}`);
  console.log("signed in once");
}).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
