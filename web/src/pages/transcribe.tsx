// A recording as text.
import { useEffect, useRef, useState } from "react";
import { Problem } from "../client/http";
import { fill, useTexts } from "../language";
import { Choice } from "../parts/choice";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Locked } from "../parts/locked";
import { Notice } from "../parts/notice";
import { OwnWords } from "../parts/own-words";
import { Title } from "../parts/title";
import { asWav } from "../sound/wav";
import { Recorder } from "./transcribe/recorder";
import { Result } from "./transcribe/result";
import { transcribe, type Progress, type Transcript } from "./transcribe/upload";
import "./transcribe/transcribe.css";

const MOST = 256 * 1024 * 1024;
/** What only the browser reads. */
const FOREIGN = /\.(m4a|mp4|aac|webm|mka)$|^(audio|video)\/(mp4|x-m4a|aac|webm)/i;

type State =
  | { is: "idle" }
  | Progress
  | { is: "done"; transcript: Transcript; sound: Blob; name: string }
  | { is: "failed"; error: unknown };

export default function Transcribe() {
  const t = useTexts();
  const [state, setState] = useState<State>({ is: "idle" });
  const [language, setLanguage] = useState<"" | "mg" | "fr">("");
  const [over, setOver] = useState(false);
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const begin = async (file: Blob, name: string) => {
    running.current?.abort();
    const control = (running.current = new AbortController());
    const isCurrent = () => running.current === control;
    try {
      if (file.size > MOST) throw new Problem(413, t.transcribe.too_big);
      setState({ is: "uploading", share: 0 });
      const sound =
        FOREIGN.test(name) || FOREIGN.test(file.type)
          ? await asWav(file).catch(() => {
              throw new Problem(415, "");
            })
          : file;
      const transcript = await transcribe(
        sound,
        name,
        language,
        (now) => {
          if (isCurrent()) setState(now);
        },
        control.signal,
      );
      if (isCurrent()) setState({ is: "done", transcript, sound, name });
    } catch (error) {
      if (isCurrent() && !control.signal.aborted) setState({ is: "failed", error });
    }
  };
  const isIdle = state.is === "idle" || state.is === "failed";
  return (
    <>
      <Title
        lede={isIdle ? t.transcribe.lede : undefined}
        aside={
          state.is === "done" && (
            <button type="button" className="button" onClick={() => setState({ is: "idle" })}>
              <Icon name="plus" />
              {t.transcribe.another}
            </button>
          )
        }
      >
        {t.transcribe.title}
      </Title>
      <Locked />
      {state.is === "failed" && <Failure error={state.error} />}
      {isIdle && (
        <>
          <div
            className={over ? "drop over" : "drop"}
            onDragOver={(event) => {
              event.preventDefault();
              setOver(true);
            }}
            onDragLeave={() => setOver(false)}
            onDrop={(event) => {
              event.preventDefault();
              setOver(false);
              const [file] = event.dataTransfer.files;
              if (file) void begin(file, file.name);
            }}
          >
            <Icon name="upload" />
            <p>{t.transcribe.drop}</p>
            <div className="row middle centre">
              <label className="button main pick">
                {t.transcribe.choose}
                <input
                  type="file"
                  accept="audio/*,.wav,.mp3,.ogg,.opus,.flac,.m4a,.webm"
                  onChange={(event) => {
                    const file = event.target.files?.[0];
                    event.target.value = "";
                    if (file) void begin(file, file.name);
                  }}
                />
              </label>
              <Recorder onDone={(sound) => void begin(sound, "recording.wav")} />
            </div>
          </div>
          <Choice
            label={t.transcribe.language}
            value={language}
            onChange={setLanguage}
            options={[
              { value: "", text: t.common.automatic },
              { value: "mg", text: t.common.mg },
              { value: "fr", text: t.common.fr },
            ]}
          />
        </>
      )}
      {(state.is === "uploading" || state.is === "hearing") && (
        <Under
          progress={state}
          onCancel={() => {
            running.current?.abort();
            setState({ is: "idle" });
          }}
        />
      )}
      {state.is === "done" && <Result {...state} />}
    </>
  );
}

function Under({ progress, onCancel }: { progress: Progress; onCancel: () => void }) {
  const t = useTexts();
  const says = fill(progress.is === "uploading" ? t.transcribe.uploading : t.transcribe.hearing, {
    n: Math.round(progress.share * 100),
  });
  return (
    <section className="card stack">
      <p role="status">{says}</p>
      <progress max={1} value={progress.share} aria-label={says} />
      <div>
        <button type="button" className="button" onClick={onCancel}>
          {t.common.cancel}
        </button>
      </div>
    </section>
  );
}

function Failure({ error }: { error: unknown }) {
  const t = useTexts();
  if (!(error instanceof Problem) || ![400, 413, 415, 422].includes(error.status)) return <Fault error={error} scope="text" />;
  return error.status === 413 ? (
    <Notice kind="bad" title={t.transcribe.too_big} />
  ) : (
    <Notice kind="bad" title={t.transcribe.unreadable}>
      <p>{t.transcribe.unreadable_hint}</p>
      <OwnWords code={error.code} detail={error.detail} />
    </Notice>
  );
}
