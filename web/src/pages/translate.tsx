// Malagasy and French, in both directions, with what was translated in this tab.
import { useMutation } from "@tanstack/react-query";
import { useId, useState, type FormEvent } from "react";
import { api, data, Problem } from "../client/http";
import { useFormats } from "../format";
import { fill, useTexts } from "../language";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Notice } from "../parts/notice";
import { Locked } from "../parts/locked";
import { Title } from "../parts/title";
import { recall, remember } from "../remembered";
import "./translate/translate.css";

type Language = "mg" | "fr";
interface Past {
  text: string;
  translation: string;
  source: Language;
  target: Language;
}

const LONGEST = 5000;
const KEPT = 50;

function past(): Past[] {
  try {
    const known: unknown = JSON.parse(recall("tab", "translations") || "[]");
    return Array.isArray(known) ? (known as Past[]) : [];
  } catch {
    return [];
  }
}

export default function Translate() {
  const t = useTexts();
  const { number } = useFormats();
  const id = useId();
  const [source, setSource] = useState<Language>("mg");
  const [text, setText] = useState("");
  const [history, setHistory] = useState(past);
  const target = source === "mg" ? "fr" : "mg";
  const names = { mg: t.common.mg, fr: t.common.fr };
  const keep = (next: Past[]) => {
    setHistory(next);
    remember("tab", "translations", next.length ? JSON.stringify(next) : "");
  };
  const go = useMutation({
    mutationFn: async () => data(api.POST("/api/v1/translate", { body: { text, source, target } })),
    onSuccess: ({ translation }) =>
      keep(
        [
          { text, translation, source, target } as Past,
          ...history.filter((one) => one.text !== text || one.source !== source),
        ].slice(0, KEPT),
      ),
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    go.mutate();
  };
  // Nobody here knows it, or not surely enough; only then does the server name the setting.
  const isUnable = go.error instanceof Problem && go.error.status === 503 && go.error.detail.includes("[engines.");
  return (
    <>
      <Title lede={t.translate.lede}>{t.translate.title}</Title>
      <Locked />
      <form className="card stack" onSubmit={send}>
        <div className="row middle directions">
          <span>{names[source]}</span>
          <button
            type="button"
            className="button only"
            aria-label={t.translate.swap}
            title={t.translate.swap}
            onClick={() => {
              setSource(target);
              if (go.data) setText(go.data.translation);
              go.reset();
            }}
          >
            <Icon name="swap" />
          </button>
          <span>{names[target]}</span>
        </div>
        <label htmlFor={id}>
          {t.translate.text}
          <textarea
            id={id}
            rows={5}
            required
            maxLength={LONGEST}
            lang={source}
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <div>
          <button type="submit" className="button main" disabled={go.isPending || !text.trim()}>
            <Icon name="translate" />
            {t.translate.go}
          </button>
        </div>
      </form>
      <div role="status">
        {go.data && (
          <section className="card stack tight" aria-labelledby="result">
            <h2 id="result">{t.translate.result}</h2>
            <p lang={go.data.target} className="translated">
              {go.data.translation}
            </p>
            <p className="quiet small">
              {go.data.by === "phrases" && `${t.translate.by_heart} · `}
              {go.data.by === "translator" &&
                `${fill(t.translate.sure, { n: number(Math.floor(100 * (go.data.confidence ?? 0))) })} · `}
              {fill(t.translate.took, { n: number(go.data.processing_ms) })}
            </p>
          </section>
        )}
      </div>
      {isUnable ? (
        <Notice kind="warm" title={t.translate.unable}>
          <p>{t.translate.unable_hint}</p>
          <p className="own-words" lang="en">
            {(go.error as Problem).detail}
          </p>
        </Notice>
      ) : (
        go.isError && <Fault error={go.error} scope="text" />
      )}
      <section className="stack tight" aria-labelledby="history">
        <div className="row middle">
          <h2 id="history" className="grow">
            {t.translate.history}
          </h2>
          {history.length > 0 && (
            <button type="button" className="button small" onClick={() => keep([])}>
              {t.translate.clear}
            </button>
          )}
        </div>
        {history.length === 0 && <p className="quiet">{t.translate.no_history}</p>}
        <ul className="stack tight">
          {history.map((one) => (
            <li key={`${one.source} ${one.text}`} className="card stack tight">
              <p lang={one.source} className="quiet">
                {one.text}
              </p>
              <p lang={one.target}>{one.translation}</p>
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}
