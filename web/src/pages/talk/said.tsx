import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { api, ask, data } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { usePlayer } from "../../sound/player";
import { heardOf } from "../call/heard";
import type { Said as Words } from "./messages";

export function Said({ said, session }: { said: Words; session: string }) {
  const t = useTexts();
  const { number } = useFormats();
  const [reached, lost] = heardOf({ said: said.text, said_heard: said.heard, interrupted: said.heard !== undefined });
  const where = said.mode === "cloud" ? t.admin.cloud : t.admin.local;
  return (
    <li className={`said ${said.by}`} aria-busy={said.grows}>
      <span className="unseen">{said.by === "you" ? t.talk.you : t.talk.milo}: </span>
      {said.text ? (
        <p className="words" lang={said.language}>
          {reached}
          {lost && <s>{lost}</s>}
        </p>
      ) : (
        <p className="words thinking">
          <span className="unseen">{t.talk.thinking}</span>
          <i aria-hidden="true" />
          <i aria-hidden="true" />
          <i aria-hidden="true" />
        </p>
      )}
      {said.by === "milo" && !said.grows && (
        <div className="about">
          <Replay said={said} />
          <Thumbs said={said} session={session} />
          {said.mode && (
            <span className="quiet small" title={said.mode === "cloud" ? t.talk.cloud : t.talk.local}>
              <span className={`place ${said.mode}`} aria-hidden="true" />
              <span className="unseen">
                {said.mode === "cloud" ? t.talk.cloud : t.talk.local}
                {said.took !== undefined && `; ${fill(t.talk.took, { n: number(said.took) })}`}
              </span>
              <span aria-hidden="true">
                {where}
                {said.took !== undefined && ` · ${number(said.took)} ms`}
              </span>
            </span>
          )}
          {said.cut && <span className="badge warm">{t.talk.cut}</span>}
        </div>
      )}
      {said.ends && <p className="quiet small">{t.talk.over}</p>}
    </li>
  );
}

function Replay({ said }: { said: Words }) {
  const t = useTexts();
  const { playing, play, stop } = usePlayer();
  const load = async () =>
    said.sound ??
    (
      await ask("/api/v1/tts", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ text: said.text, ...(said.language && { language: said.language }) }),
      })
    ).blob();
  return (
    <button
      type="button"
      className="button plain small only"
      aria-pressed={playing}
      aria-label={t.talk.replay}
      title={t.talk.replay}
      onClick={() => (playing ? stop() : void play(load))}
    >
      <Icon name={playing ? "stop" : "speak"} />
    </button>
  );
}

function Thumbs({ said, session }: { said: Words; session: string }) {
  const t = useTexts();
  const [given, setGiven] = useState<"up" | "down" | null>(null);
  const give = useMutation({
    mutationFn: async (rating: "up" | "down") =>
      data(
        api.POST("/api/v1/feedback", {
          body: { ...(said.call ? { call_id: said.call } : { session_id: session }), turn: said.turn, rating },
        }),
      ),
    onError: () => setGiven(null),
  });
  const rate = (rating: "up" | "down") => {
    setGiven(rating);
    give.mutate(rating);
  };
  if (!session && !said.call) return null;
  const words = { up: t.talk.good, down: t.talk.bad };
  return (
    <>
      {(["up", "down"] as const).map((rating) => (
        <button
          key={rating}
          type="button"
          className="button plain small only"
          aria-pressed={given === rating}
          aria-label={words[rating]}
          title={words[rating]}
          onClick={() => rate(rating)}
        >
          <Icon name={rating} />
        </button>
      ))}
    </>
  );
}
