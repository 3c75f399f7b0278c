// A page that knows nothing of ours but /client.js talks with Milo.
//   node client.mjs --page http://127.0.0.1:9000/ --milo http://127.0.0.1:8000/ [--way websocket]
// Says what it saw as JSON, or what is wrong, and ends with 1.
import { parseArgs } from "node:util";
import { ANSWER, heard, isSpeech, keepPeers, loudness, SAID, speaking } from "./browser.mjs";

const { values } = parseArgs({
  options: { page: { type: "string" }, milo: { type: "string" }, way: { type: "string", default: "webrtc" } },
});

await speaking(6, async (browser) => {
  const page = await browser.newPage();
  page.setDefaultTimeout(45_000);
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (error) => console.error(error.message));
  if (values.way === "websocket") await page.addInitScript(() => delete window.RTCPeerConnection);
  else await keepPeers(page);
  const sockets = [];
  page.on("websocket", (socket) => sockets.push(socket));
  await page.goto(values.page);
  await page.getByRole("button", { name: "Talk" }).click();
  const said = page.locator("#said");
  await said.filter({ hasText: SAID }).waitFor();
  const before = values.way === "webrtc" ? await heard(page) : null;
  await said.filter({ hasText: ANSWER }).waitFor();
  const report = { way: values.way, said: await said.innerText(), sockets: sockets.length };
  if (before) {
    report.dbfs = loudness(before, await heard(page));
    if (!isSpeech(report.dbfs)) throw new Error(`the reply was heard with ${report.dbfs} dBFS`);
  }
  if ((values.way === "websocket") !== (sockets.length === 1)) throw new Error(`${sockets.length} WebSockets were opened`);
  await page.getByRole("button", { name: "Talk" }).click();
  // In writing, with a ticket for each message.
  report.written = await page.evaluate(async (milo) => {
    const { Milo } = await import(`${milo}client.js`);
    const client = new Milo({ ticket: async (purpose) => (await fetch(`/ticket?for=${purpose}`)).text() });
    let grew = "";
    const answer = await client.write("Amin'ny ora firy no misokatra ny birao?", (reply) => (grew = reply));
    const again = await client.write({ message: "Misaotra!", session_id: answer.session_id });
    return { reply: answer.reply, grew, same: again.session_id === answer.session_id };
  }, values.milo);
  console.log(JSON.stringify(report));
}).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
