import { useEffect, useMemo, useRef, useState } from "react";
import { duration, useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { save } from "../../parts/save";
import { srt, txt, vtt } from "./exports";
import type { Transcript } from "./upload";

/** Below this a segment is marked as unsure. */
const SURE = 0.6;

export function Result({ transcript, sound, name }: { transcript: Transcript; sound: Blob; name: string }) {
  const t = useTexts();
  const { span } = useFormats();
  const audio = useRef<HTMLAudioElement>(null);
  const [at, setAt] = useState(-1);
  const address = useMemo(() => URL.createObjectURL(sound), [sound]);
  useEffect(() => () => URL.revokeObjectURL(address), [address]);
  const stem = name.replace(/\.[^.]*$/, "") || "transcript";
  const { segments } = transcript;
  const files: [string, string, string][] = [
    ["TXT", "text/plain", txt(segments)],
    ["SRT", "application/x-subrip", srt(segments)],
    ["VTT", "text/vtt", vtt(segments)],
    ["JSON", "application/json", JSON.stringify(transcript, null, 2)],
  ];
  const playFrom = (ms: number) => {
    if (!audio.current) return;
    audio.current.currentTime = ms / 1000;
    void audio.current.play().catch(() => undefined);
  };
  return (
    <section className="stack" aria-labelledby="result">
      <div className="row middle">
        <h2 id="result" className="grow">
          {t.transcribe.result}
        </h2>
        <span className="badge">
          {fill(t.transcribe.found, { language: transcript.language === "fr" ? t.common.fr : t.common.mg })}
        </span>
        {transcript.confidence != null && (
          <span className="badge">{fill(t.transcribe.sure, { n: Math.round(transcript.confidence * 100) })}</span>
        )}
        <span className="quiet small">
          {fill(t.transcribe.took, { long: duration(transcript.duration_ms / 1000), took: span(transcript.processing_ms) })}
        </span>
      </div>
      <audio
        ref={audio}
        src={address}
        controls
        className="whole"
        aria-label={name}
        onTimeUpdate={(event) => setAt(event.currentTarget.currentTime * 1000)}
      />
      {segments.length === 0 && (
        <p className="empty">
          <strong>{t.transcribe.nothing}</strong>
        </p>
      )}
      <ol className="segments">
        {segments.map((segment) => {
          const time = duration(segment.start_ms / 1000);
          const isNow = at >= segment.start_ms && at < segment.end_ms;
          return (
            <li key={segment.start_ms} className={isNow ? "segment now" : "segment"}>
              <button
                type="button"
                className="button plain small"
                aria-label={fill(t.transcribe.play_from, { time })}
                onClick={() => playFrom(segment.start_ms)}
              >
                <Icon name="play" />
                <span className="figure">{time}</span>
              </button>
              <p lang={segment.language}>{segment.text}</p>
              {segment.confidence != null && (
                <span className={segment.confidence < SURE ? "badge warm" : "quiet small"}>
                  {fill(t.transcribe.sure, { n: Math.round(segment.confidence * 100) })}
                </span>
              )}
            </li>
          );
        })}
      </ol>
      {segments.length > 0 && (
        <div className="row middle" role="group" aria-label={t.transcribe.exports}>
          <span className="quiet small">{t.transcribe.exports}</span>
          {files.map(([kind, type, content]) => (
            <button
              key={kind}
              type="button"
              className="button small"
              onClick={() => save(new Blob([content], { type }), `${stem}.${kind.toLowerCase()}`)}
            >
              <Icon name="download" />
              {kind}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}
