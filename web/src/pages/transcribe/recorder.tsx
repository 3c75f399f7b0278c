import { useEffect, useRef, useState } from "react";
import { listen, NoMicrophone, type Microphone } from "../../client/microphone";
import { fill, useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { Notice } from "../../parts/notice";
import { wav } from "../../sound/wav";

interface Running {
  microphone: Microphone;
  context: AudioContext;
  pieces: Int16Array[];
}

const LONGEST_S = 3600;

/** Records what the microphone hears, as a WAV file. */
export function Recorder({ onDone }: { onDone: (sound: Blob) => void }) {
  const t = useTexts();
  const running = useRef<Running | null>(null);
  const [since, setSince] = useState<number | null>(null);
  const [now, setNow] = useState(0);
  const [fault, setFault] = useState<NoMicrophone | null>(null);
  const close = (): Int16Array[] => {
    const { microphone, context, pieces } = running.current ?? {};
    running.current = null;
    microphone?.close();
    void context?.close().catch(() => undefined);
    setSince(null);
    return pieces ?? [];
  };
  useEffect(
    () => () => {
      running.current?.microphone.close();
      void running.current?.context.close();
    },
    [],
  );
  const start = async () => {
    setFault(null);
    const context = new AudioContext();
    const pieces: Int16Array[] = [];
    try {
      await context.resume();
      running.current = { microphone: await listen(context, (piece) => pieces.push(new Int16Array(piece))), context, pieces };
      setNow(Date.now());
      setSince(Date.now());
    } catch (error) {
      await context.close().catch(() => undefined);
      setFault(error instanceof NoMicrophone ? error : new NoMicrophone("device"));
    }
  };
  const stop = () => {
    const pieces = close();
    const samples = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) for (const sample of piece) samples[at++] = sample / 32768;
    if (samples.length) onDone(wav(samples));
  };
  useEffect(() => {
    if (since === null) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [since]);
  const seconds = since === null ? 0 : Math.floor((now - since) / 1000);
  useEffect(() => {
    if (seconds >= LONGEST_S) stop();
  });
  const [title, hint] = fault
    ? ({
        denied: [t.talk.microphone, t.talk.microphone_hint],
        device: [t.talk.device, t.talk.device_hint],
        insecure: [t.talk.insecure, t.talk.insecure_hint],
      }[fault.why] as [string, string])
    : ["", ""];
  return (
    <>
      {since === null ? (
        <button type="button" className="button" onClick={() => void start()}>
          <Icon name="talk" />
          {t.transcribe.record}
        </button>
      ) : (
        <button type="button" className="button danger" onClick={stop}>
          <Icon name="stop" />
          {t.transcribe.stop}
        </button>
      )}
      {since !== null && (
        <p role="timer" className="figure">
          {fill(t.transcribe.recording, { n: seconds })}
        </p>
      )}
      {fault && (
        <Notice kind="bad" title={title}>
          <p>{hint}</p>
        </Notice>
      )}
    </>
  );
}
