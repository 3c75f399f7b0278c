import { useEffect, useRef, useState } from "react";
import workletUrl from "../../client/capture.worklet.js?url";
import { capture, microphone, NoMicrophone, silence } from "../../client/microphone";
import { fill, useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { Notice } from "../../parts/notice";
import { wavOf } from "../../sound/wav";

interface Running {
  microphone: MediaStream;
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
    if (microphone) silence(microphone);
    void context?.close().catch(() => undefined);
    setSince(null);
    return pieces ?? [];
  };
  useEffect(
    () => () => {
      if (running.current) silence(running.current.microphone);
      void running.current?.context.close();
    },
    [],
  );
  const start = async () => {
    setFault(null);
    const context = new AudioContext();
    const pieces: Int16Array[] = [];
    let stream: MediaStream | null = null;
    try {
      await context.resume();
      stream = await microphone();
      await capture(context.createMediaStreamSource(stream), workletUrl, (piece) => pieces.push(new Int16Array(piece)));
      running.current = { microphone: stream, context, pieces };
      setNow(Date.now());
      setSince(Date.now());
    } catch (error) {
      if (stream) silence(stream);
      await context.close().catch(() => undefined);
      setFault(error instanceof NoMicrophone ? error : new NoMicrophone("device"));
    }
  };
  const stop = () => {
    const pieces = close();
    if (pieces.length) onDone(wavOf(pieces));
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
