// What people do on the screens: each of it as they would, by what stands on the page.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SOUND } from "./browser.mjs";
import { requested } from "./requested.mjs";

/** Kilobytes of script that the first page may need, compressed. */
const FIRST_LOAD = 250;
/** How pages that have no WebRTC are. */
const withoutWebRtc = (page) => page.addInitScript(() => delete window.RTCPeerConnection);

/** As if this Milo could be talked with by voice, over a WebSocket: its document says so, and it gives a ticket. */
export async function withVoice(page) {
  await withoutWebRtc(page);
  await page.route("**/openapi.json", (route) => route.fulfill({ json: { paths: { "/api/v1/conversation": {} } } }));
  await page.route("**/api/v1/tickets", (route) => route.fulfill({ status: 201, json: { ticket: "once" } }));
}

/** A call that begins when it is let: `asked` resolves once it is about to. The page's microphone is `window.microphone`. */
async function beginning(page) {
  await withVoice(page);
  await page.addInitScript(() => {
    const own = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async (wanted) => {
      const stream = await own(wanted);
      [window.microphone] = stream.getTracks();
      return stream;
    };
  });
  let give;
  const given = new Promise((resolve) => (give = resolve));
  const asked = new Promise((resolve) =>
    page.route("**/api/v1/tickets", async (route) => {
      resolve();
      await given;
      await route.fulfill({ status: 201, json: { ticket: "once" } }).catch(() => undefined);
    }),
  );
  await page.routeWebSocket(/\/api\/v1\/conversation/, () => undefined);
  return { asked, give };
}

/** `judged` holds a page against axe, `settled` waits until it has drawn, `fault` says what is wrong. */
export function uses({ base, out, fault, judged, settled }) {
  return {
    async "the first page loads little"(page) {
      const sizes = [];
      page.on("response", (response) => {
        if (response.request().resourceType() === "script")
          sizes.push(
            response
              .request()
              .sizes()
              .then((size) => size.responseBodySize),
          );
      });
      await page.goto(base);
      await settled(page);
      const kilobytes = (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0) / 1000;
      if (!kilobytes || kilobytes > FIRST_LOAD) throw new Error(`${kilobytes} kB of script`);
    },
    async "languages are switched, and remembered"(page) {
      await page.goto(base);
      await page.locator(".settings summary").click();
      await page.getByRole("radio", { name: "Malagasy" }).click();
      await page.getByRole("heading", { name: "Miresaha amin'i Milo" }).waitFor();
      await page.reload();
      await page.getByRole("heading", { name: "Miresaha amin'i Milo" }).waitFor();
    },
    async "a message is answered, its answer heard and judged"(page) {
      await page.goto(base);
      await page.getByLabel("Message").fill("Amin'ny ora firy no misokatra ny birao?");
      await page.keyboard.press("Enter");
      await page.locator(".said.milo .about").waitFor();
      const reply = await page.locator(".said.milo .words").innerText();
      if (!reply.includes("Misokatra")) throw new Error(`the reply is ${reply}`);
      const given = page.waitForResponse((response) => response.url().endsWith("/api/v1/feedback"));
      await page.getByRole("button", { name: "Good answer" }).click();
      if ((await given).status() !== 201) throw new Error("the thumb was not taken");
      await judged(page, "conversation");
      if (out) await page.screenshot({ path: join(out, "conversation.png") });
      await page.reload();
      await page.getByText(reply).waitFor();
    },
    async "the log is searched, and a call opened by the keyboard"(page) {
      await page.goto(`${base}/calls`);
      await page.locator(".log-row").first().waitFor();
      await page.getByLabel("Words that were said").fill("nothing that anybody said");
      await page.getByText("No call fits.").waitFor();
      await page.getByRole("button", { name: "Clear the filters" }).first().click();
      await page.locator(".log-row").first().focus();
      await page.keyboard.press("Enter");
      await page.getByRole("heading", { name: "Transcript" }).waitFor();
      if (!(await page.evaluate(() => document.activeElement?.tagName === "H1")))
        throw new Error("the focus is not on the heading of the page that was opened");
    },
    async "a number is tried"(page) {
      await page.goto(`${base}/system/plans`);
      await page.getByLabel("Number called").fill("echo");
      await page.getByRole("button", { name: "Which plan?" }).click();
      await page.getByText("The plan “echo” treats it.").waitFor();
    },
    async "a sentence is said, and how it was read is shown"(page) {
      await page.goto(`${base}/speak`);
      await page.getByLabel("Text").fill("Ny sarany dia 25 000 Ar.");
      await page.getByRole("button", { name: "Say it" }).click();
      await page.getByText("dimy arivo sy roa alina ariary").waitFor();
    },
    async "a recording is uploaded, and its transcript saved"(page) {
      await page.goto(`${base}/transcribe`);
      await page.locator("input[type=file]").setInputFiles(SOUND);
      await page.locator(".segment").first().waitFor();
      const said = await page.locator(".segment p").first().innerText();
      if (!said.includes("misokatra")) throw new Error(`the transcript is ${said}`);
      await judged(page, "transcript");
      const [file] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "VTT" }).click()]);
      const saved = await readFile(await file.path(), "utf8");
      if (!saved.startsWith("WEBVTT\n\n00:00:0") || !saved.includes(said)) throw new Error(`the file is ${saved}`);
      if (out) await page.screenshot({ path: join(out, "transcript.png") });
    },
    async "what is no sound is refused with a reason"(page) {
      await page.goto(`${base}/transcribe`);
      await page
        .locator("input[type=file]")
        .setInputFiles({ name: "a.wav", mimeType: "audio/wav", buffer: Buffer.from("no sound") });
      await page.getByRole("heading", { name: "Milo cannot read this file." }).waitFor();
    },
    async "a recording is made with the microphone"(page) {
      await page.goto(`${base}/transcribe`);
      await page.getByRole("button", { name: "Record" }).click();
      await page.getByText("Recording… 1 s").waitFor();
      await page.getByRole("button", { name: "Stop recording" }).click();
      await page.getByRole("heading", { name: "Transcript" }).waitFor();
    },
    async "a call that is up is seen, and hung up on"(page) {
      const dial = (await (await fetch(`${base}/api/v1/health`)).json()).dial.find((known) => known.number === "music").uri;
      await fetch(`${base}/api/v1/calls`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ to: dial, plan: "echo" }),
      });
      await page.goto(`${base}/calls`);
      const live = page.locator(".live-call");
      await live.first().waitFor();
      await judged(page, "live calls");
      if (out) await page.screenshot({ path: join(out, "live-calls.png") });
      await page.getByRole("button", { name: "Hang up" }).first().click();
      await page.getByRole("dialog").getByRole("button", { name: "Hang up" }).click();
      await live.first().waitFor({ state: "detached" });
    },
    ...requested({ base, out, judged }),
    async "the recording of a call is played"(page) {
      const spoken = (await (await fetch(`${base}/api/v1/calls?limit=50`)).json()).calls.find((call) => call.turn_count > 1);
      await page.goto(`${base}/calls/${spoken.id}`);
      await page.getByRole("button", { name: "Load the recording" }).click();
      await page.locator(".waveform").waitFor();
      await page.getByRole("button", { name: "Play", exact: true }).click();
      await page.waitForFunction(() => document.querySelector("audio").currentTime > 0.2);
      await judged(page, "recording");
      if (out) await page.screenshot({ path: join(out, "recording.png"), fullPage: true });
    },
    async "a spoken conversation: sound both ways, what was said, and an end"(page) {
      await withVoice(page);
      let sent = 0;
      const told = [];
      await page.routeWebSocket(/\/api\/v1\/conversation\?ticket=once&stream=1/, (socket) => {
        socket.onMessage((message) => {
          if (typeof message === "string") {
            told.push(JSON.parse(message));
            return;
          }
          if (message.length !== 640) fault("conversation", `a piece of ${message.length} bytes was sent`);
          sent += 1;
          // A second has been heard: it is answered, and then the caller interrupts.
          if (sent === 50) {
            const say = (what) => socket.send(JSON.stringify(what));
            say({ type: "session", session_id: "s", call_id: "01a22843-d742-7568-a838-0436352f88dc", sample_rate: 16000 });
            say({ type: "vad", speaking: true });
            say({ type: "transcript", text: "firy ariary", partial: true, language: "mg" });
            say({ type: "transcript", text: "firy ariary ny tapakila", partial: false, language: "mg" });
            say({ type: "vad", speaking: false });
            say({ type: "reply_text", text: "Iray alina ariary", partial: true });
            // Longer than anybody waits below.
            for (let piece = 0; piece < 40; piece++) socket.send(Buffer.alloc(64_000, piece + 1));
          }
          if (sent === 90) {
            socket.send(JSON.stringify({ type: "clear" }));
            socket.send(
              JSON.stringify({
                type: "reply_text",
                text: "Iray alina ariary ny tapakila.",
                partial: false,
                heard: "Iray alina—",
                interrupted: true,
                total_ms: 451,
              }),
            );
            socket.send(JSON.stringify({ type: "mode", value: "local" }));
          }
        });
      });
      await page.goto(base);
      await page.locator(".big").click();
      await page.locator(".voice [role=status]").filter({ hasText: "Milo is speaking" }).waitFor();
      if (out) await page.screenshot({ path: join(out, "talking.png") });
      await page.locator(".said.milo s").filter({ hasText: "ariary ny tapakila." }).waitFor();
      await page.locator(".voice [role=status]").filter({ hasText: "Milo is listening" }).waitFor();
      await judged(page, "spoken conversation");
      await page.getByText("Digits", { exact: true }).click();
      await page.getByRole("button", { name: "5", exact: true }).click();
      await page.locator(".big").click();
      await page.locator(".big").filter({ hasText: "Talk" }).waitFor();
      const wanted = [{ type: "dtmf", digit: "5" }, { type: "hangup" }];
      if (JSON.stringify(told) !== JSON.stringify(wanted)) throw new Error(`the server was told ${JSON.stringify(told)}`);
    },
    async "whoever has no microphone is told what to do"(page) {
      await withVoice(page);
      for (const [name, heading] of [
        ["NotAllowedError", "The microphone was not allowed"],
        ["NotFoundError", "No microphone was found"],
      ]) {
        await page.addInitScript((name) => {
          navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", name));
        }, name);
        await page.goto(base);
        await page.locator(".big").click();
        await page.getByRole("heading", { name: heading }).waitFor();
      }
    },
    async "a Milo that has no line left says so"(page) {
      await withVoice(page);
      await page.routeWebSocket(/\/api\/v1\/conversation/, (socket) =>
        socket.close({ code: 1013, reason: "all lines are taken" }),
      );
      await page.goto(base);
      await page.locator(".big").click();
      await page.getByRole("heading", { name: "All lines are taken" }).waitFor();
      await judged(page, "no line left");
    },
    async "what is chosen while a call begins holds once it has"(page) {
      const answer = await beginning(page);
      await page.goto(base);
      await page.locator(".big").click();
      await answer.asked;
      await page.getByRole("radio", { name: "Push to talk" }).check({ force: true });
      answer.give();
      await page.getByRole("button", { name: "Hold to talk" }).waitFor();
      if (await page.evaluate(() => window.microphone.enabled)) throw new Error("the microphone is open though nothing is held");
    },
    async "whoever leaves while a call begins is not heard"(page) {
      const answer = await beginning(page);
      await page.goto(base);
      await page.locator(".big").click();
      await answer.asked;
      await page.getByRole("link", { name: "Translate" }).click();
      await page.getByRole("heading", { name: "Translate" }).waitFor();
      answer.give();
      await page.waitForFunction(() => window.microphone.readyState === "ended");
    },
    async "a Milo that has no line left says so by WebRTC as well"(page) {
      await page.route("**/api/v1/webrtc*", (route) =>
        route.fulfill({ status: 503, json: { status: 503, detail: "as many calls are up as may be", code: "lines_taken" } }),
      );
      await page.goto(base);
      await page.locator(".big").click();
      await page.getByRole("heading", { name: "All lines are taken" }).waitFor();
    },
    async "where WebRTC cannot be a WebSocket is taken, which is said"(page) {
      const way = async (says) => {
        await page.goto(base);
        await page.locator(".big").click();
        await page.locator(".way").filter({ hasText: `Connected by WebSocket. ${says}` }).waitFor();
        await page.locator(".said.milo").first().waitFor();
        await page.locator(".big").click();
        await page.locator(".voice.idle").waitFor();
      };
      // It is switched off there.
      await page.route("**/api/v1/webrtc*", (route) =>
        route.fulfill({ status: 404, json: { status: 404, detail: "calls from browsers are switched off here", code: "webrtc_off" } }),
      );
      await way("WebRTC is switched off here.");
      await page.unroute("**/api/v1/webrtc*");
      // Nothing gets through: a relay is needed, and there is none.
      await page.addInitScript(() => {
        const Own = window.RTCPeerConnection;
        window.RTCPeerConnection = class extends Own {
          constructor(given) {
            super({ ...given, iceTransportPolicy: "relay" });
          }
          setRemoteDescription({ type, sdp }) {
            return super.setRemoteDescription({ type, sdp: sdp.replace(/^a=candidate:.*\r\n/gm, "") });
          }
        };
      });
      await way("WebRTC does not get through this network.");
      await withoutWebRtc(page);
      await way("This browser has no WebRTC.");
    },
    async "a refusal is said in the language of the page"(page) {
      await page.route("**/api/v1/chat", (route) =>
        route.fulfill({ status: 503, json: { status: 503, detail: "the language model is overloaded", code: "overloaded" } }),
      );
      await page.goto(base);
      for (const [language, label, says] of [
        ["Français", "Message", "On demande au modèle plus qu'il ne peut faire maintenant."],
        ["Malagasy", "Hafatra", "Mihoatra izay zakan'ny modely izao ny angatahina aminy."],
      ]) {
        await page.locator(".settings summary").click();
        await page.getByRole("radio", { name: language }).click();
        await page.keyboard.press("Escape");
        await page.getByLabel(label).fill("Salama");
        await page.keyboard.press("Enter");
        await page.getByText(says).waitFor();
        if (await page.getByText("overloaded").count()) throw new Error(`in English besides: ${language}`);
      }
    },
    async "each model tells its size and its licence"(page) {
      await page.goto(`${base}/system`);
      for (const says of ["Licence: AGPL-3.0-only", "Licence: MIT", "Licence: GPL-3.0-or-later"])
        await page.getByText(says).first().waitFor();
      if (await page.getByText("size unknown").count()) throw new Error("the size of a model that ships is unknown");
    },
    async "without Milo there is a page that says so"(page) {
      await page.goto(base);
      await page.evaluate(() => navigator.serviceWorker.ready);
      await page.context().setOffline(true);
      await page.goto(`${base}/calls`);
      await page.getByText("Milo cannot be reached.").waitFor();
      await page.context().setOffline(false);
    },
    // The last one: from the first key on, this machine needs one too.
    async "a key is made, asked for, used and revoked"(page) {
      await page.goto(`${base}/system/keys`);
      await page.getByLabel("What it is for").fill("screens");
      await page.getByLabel("admin").check();
      await page.getByRole("button", { name: "Create" }).click();
      await page.getByText("The new key. It is shown only once:").waitFor();
      const key = await page.locator("main .copyable code").first().innerText();
      // Whoever made the first one goes on with it.
      await page.locator(".settings summary").click();
      await page.getByText(`Signed in with a key that ends in ${key.slice(-4)}.`).waitFor();
      await page.getByRole("button", { name: "Sign out" }).click();
      await page.keyboard.press("Escape");
      await page.getByRole("heading", { name: "This needs a key" }).waitFor();
      await page.getByRole("button", { name: "Close" }).click();
      await page.goto(base);
      await page.getByRole("heading", { name: "This needs a key" }).waitFor();
      await page.goto(`${base}/system/keys`);
      await page.getByRole("heading", { name: "This needs a key" }).waitFor();
      await judged(page, "a key is needed");
      // Whoever types is not disturbed by what the page asks meanwhile.
      await page.locator("main").getByLabel("API key").fill("milo_wrong");
      await page.waitForResponse((response) => response.url().endsWith("/api/v1/health"));
      const refused = page.waitForResponse((response) => response.url().endsWith("/api/v1/keys") && response.status() === 401);
      await page.locator("main").getByRole("button", { name: "Sign in" }).click();
      await refused;
      await page.getByRole("heading", { name: "This key is not accepted." }).waitFor();
      await page.locator("main").getByLabel("API key").fill(key);
      await page.locator("main").getByRole("button", { name: "Sign in" }).click();
      await page.getByText("screens", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Revoke" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
      await page.getByRole("heading", { name: "This key is not accepted." }).waitFor();
    },
  };
}
