// A text as sound, heard while it is made.
import { useMutation } from "@tanstack/react-query";
import { useEffect, useId, useRef, useState, type FormEvent } from "react";
import { ask, type Schema } from "../client/http";
import { Playback } from "../client/playback";
import { useFormats } from "../format";
import { fill, useTexts } from "../language";
import { Choice } from "../parts/choice";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { save } from "../parts/save";
import { Locked } from "../parts/locked";
import { Title } from "../parts/title";
import { header } from "../sound/wav";

const LONGEST = 10_000;
const FORMATS = ["wav", "ogg", "mp3"] as const;

type Order = Schema["SpeechOrder"];

const post = (order: Order, signal?: AbortSignal) =>
  ask("/api/v1/tts", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(order), signal });

export default function Speak() {
  const t = useTexts();
  const { number } = useFormats();
  const id = useId();
  const [text, setText] = useState(t.speak.sample);
  const [language, setLanguage] = useState<"" | "mg" | "fr">("");
  const [voice, setVoice] = useState("");
  const [speed, setSpeed] = useState(1);
  const [first, setFirst] = useState<number | null>(null);
  const [sounding, setSounding] = useState(false);
  const ending = useRef<(() => void) | null>(null);
  useEffect(() => () => ending.current?.(), []);
  const order: Order = {
    text,
    ...(language && { language }),
    ...(voice.trim() && { voice: voice.trim() }),
    ...(speed !== 1 && { speed }),
  };

  const say = useMutation({
    mutationFn: async () => {
      ending.current?.();
      setFirst(null);
      const { read, stop } = await aloud(order, setFirst, setSounding);
      ending.current = stop;
      await read;
      // How it was read is told with the whole only; the sound of it is then made already.
      return (await (await post({ ...order, format: "json" })).json()) as Schema["Spoken"];
    },
  });
  const download = useMutation({
    mutationFn: async (format: (typeof FORMATS)[number]) =>
      save(await (await post({ ...order, format })).blob(), `milo.${format}`),
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    say.mutate();
  };
  const fault = say.error ?? download.error;
  const isStopped = fault instanceof DOMException && fault.name === "AbortError";
  return (
    <>
      <Title lede={t.speak.lede}>{t.speak.title}</Title>
      <Locked />
      <form className="card stack" onSubmit={send}>
        <label htmlFor={id}>
          {t.speak.text}
          <textarea
            id={id}
            rows={5}
            required
            maxLength={LONGEST}
            lang={language || undefined}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <p className="quiet small">{fill(t.speak.characters, { n: number(text.length), all: number(LONGEST) })}</p>
        <div className="row spaced">
          <Choice
            label={t.common.language}
            value={language}
            onChange={setLanguage}
            options={[
              { value: "", text: t.common.automatic },
              { value: "mg", text: t.common.mg },
              { value: "fr", text: t.common.fr },
            ]}
          />
          <label className="grow">
            {t.speak.voice}
            <input
              value={voice}
              placeholder={t.speak.usual}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => setVoice(event.target.value)}
            />
          </label>
          <label className="grow">
            {t.speak.speed}: <span className="figure">{number(speed, 1)}×</span>
            <input
              type="range"
              min={0.6}
              max={2.5}
              step={0.1}
              value={speed}
              onChange={(event) => setSpeed(Number(event.target.value))}
            />
          </label>
        </div>
        <div className="row middle">
          {sounding ? (
            <button type="button" className="button main" onClick={() => ending.current?.()}>
              <Icon name="stop" />
              {t.speak.stop}
            </button>
          ) : (
            <button type="submit" className="button main" disabled={!text.trim()}>
              <Icon name="speak" />
              {t.speak.say}
            </button>
          )}
          <span className="grow" role="status">
            {first !== null && <span className="quiet small">{fill(t.speak.first, { n: number(first) })}</span>}
          </span>
          <span className="row middle" role="group" aria-label={t.speak.save}>
            <span className="quiet small">{t.speak.save}</span>
            {FORMATS.map((format) => (
              <button
                key={format}
                type="button"
                className="button small"
                disabled={!text.trim() || download.isPending}
                onClick={() => download.mutate(format)}
              >
                <Icon name="download" />
                {format.toUpperCase()}
              </button>
            ))}
          </span>
        </div>
      </form>
      {fault && !isStopped && <Fault error={fault} scope="text" />}
      {say.data && (
        <section className="card stack tight" aria-labelledby="read-as">
          <h2 id="read-as">{t.speak.read_as}</h2>
          <p lang={say.data.language}>{say.data.spoken}</p>
        </section>
      )}
    </>
  );
}

/** Plays the sound while it comes. `read` resolves when all of it has come; `stop` ends it at once. */
async function aloud(
  order: Order,
  first: (ms: number) => void,
  sounding: (is: boolean) => void,
): Promise<{ read: Promise<void>; stop: () => void }> {
  const control = new AbortController();
  const context = new AudioContext();
  const playback = new Playback(context, sounding);
  const began = performance.now();
  const stop = () => {
    control.abort();
    playback.clear();
    void context.close().catch(() => undefined);
  };
  try {
    await context.resume();
    const answer = await post({ ...order, format: "wav" }, control.signal);
    return { read: drain(answer, playback, () => first(performance.now() - began)), stop };
  } catch (error) {
    stop();
    throw error;
  }
}

async function drain(answer: Response, playback: Playback, first: () => void): Promise<void> {
  const reader = answer.body?.getReader();
  let waiting = new Uint8Array();
  let isBegun = false;
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return;
    const all = new Uint8Array(waiting.length + value.length);
    all.set(waiting);
    all.set(value, waiting.length);
    waiting = all;
    if (!isBegun) {
      const found = header(waiting);
      if (!found) continue;
      waiting = waiting.slice(found.from);
      isBegun = true;
      first();
    }
    // A sample may have been cut in two.
    const whole = waiting.length & ~1;
    playback.play(waiting.slice(0, whole).buffer);
    waiting = waiting.slice(whole);
  }
}
