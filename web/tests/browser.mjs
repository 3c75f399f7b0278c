// Chromium with a microphone that plays a recording, and what it hears of a peer.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const SOUND = fileURLToPath(new URL("../../src/tests/recordings/mg_hours.wav", import.meta.url));
/** What is said in it, and what the answer holds. */
export const SAID = "misokatra ny birao";
export const ANSWER = "Misokatra amin'ny valo ora";

/** Chromium's own tone in place of a microphone, and nobody asked for it. */
export const FLAGS = [
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function browsing(args, does, path = "/usr/bin/chromium") {
  const browser = await chromium.launch({ executablePath: path, chromiumSandbox: false, args });
  try {
    await does(browser);
  } finally {
    await browser.close();
  }
}

/** A browser whose microphone hears the recording once, behind `pause` seconds of silence. */
export async function speaking(pause, does, path) {
  const folder = await mkdtemp(join(tmpdir(), "milo-screens-"));
  const sound = await readFile(SOUND);
  const silence = (seconds) => Buffer.alloc(sound.readUInt32LE(28) * seconds);
  const samples = Buffer.concat([silence(pause), sound.subarray(44), silence(60)]);
  const header = Buffer.from(sound.subarray(0, 44));
  header.writeUInt32LE(samples.length + 36, 4);
  header.writeUInt32LE(samples.length, 40);
  const file = join(folder, "microphone.wav");
  await writeFile(file, Buffer.concat([header, samples]));
  try {
    await browsing([...FLAGS, `--use-file-for-fake-audio-capture=${file}%noloop`], does, path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Keeps each connection that the page makes where `heard` finds it. */
export const keepPeers = (page) =>
  page.addInitScript(() => {
    window.peers = [];
    const Own = window.RTCPeerConnection;
    window.RTCPeerConnection = class extends Own {
      constructor(...given) {
        super(...given);
        window.peers.push(this);
      }
    };
  });

/** What was heard so far: its energy (of 1 at full scale), and for how many seconds there was sound at all. */
export const heard = (page) =>
  page.evaluate(async () => {
    let [energy, seconds] = [0, 0];
    for (const one of (await window.peers.at(-1)?.getStats())?.values() ?? [])
      if (one.type === "inbound-rtp") [energy, seconds] = [one.totalAudioEnergy, one.totalSamplesDuration];
    return { energy, seconds };
  });

/** How loud what came between two such looks was, in dBFS: Chromium counts the peak of each 10 ms. */
export const loudness = (before, after) => 10 * Math.log10((after.energy - before.energy) / (after.seconds - before.seconds));

/** Speech with its pauses is no quieter and no louder. */
export const isSpeech = (dbfs) => dbfs > -40 && dbfs < -2;
