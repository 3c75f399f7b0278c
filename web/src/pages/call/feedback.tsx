import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, data, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";

export function Feedback({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const { when } = useFormats();
  const queries = useQueryClient();
  const [comment, setComment] = useState("");
  const [thumb, setThumb] = useState<"up" | "down" | null>(null);
  const give = useMutation({
    mutationFn: async (order: { rating: "up" | "down"; comment?: string }) =>
      data(api.POST("/api/v1/feedback", { body: { call_id: call.id, ...order } })),
    onSuccess: () => {
      setComment("");
      void queries.invalidateQueries({ queryKey: ["call", call.id] });
    },
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    if (thumb) give.mutate({ rating: thumb, comment: comment.trim() || undefined });
  };
  return (
    <section className="card stack" aria-labelledby="feedback">
      <h2 id="feedback">{t.call.feedback}</h2>
      {call.feedback.length > 0 && (
        <ul className="stack tight">
          {call.feedback.map((said) => (
            <li key={said.id} className="row middle">
              <span className={`badge ${said.rating >= 3 ? "good" : "bad"}`}>
                {said.thumbs ? (said.thumbs === "up" ? t.call.up : t.call.down) : `${said.rating} / 5`}
              </span>
              {said.comment && <span>{said.comment}</span>}
              <time dateTime={said.at} className="quiet small">
                {when(said.at)}
              </time>
            </li>
          ))}
        </ul>
      )}
      <form className="row" onSubmit={send}>
        <fieldset className="thumbs">
          <legend>{t.call.was_good}</legend>
          <button type="button" className="button" aria-pressed={thumb === "up"} onClick={() => setThumb("up")}>
            <Icon name="up" />
            {t.call.up}
          </button>
          <button type="button" className="button" aria-pressed={thumb === "down"} onClick={() => setThumb("down")}>
            <Icon name="down" />
            {t.call.down}
          </button>
        </fieldset>
        <label className="grow">
          {t.call.comment}
          <input value={comment} maxLength={4000} onChange={(event) => setComment(event.target.value)} />
        </label>
        <button type="submit" className="button main" disabled={!thumb || give.isPending}>
          {t.call.send}
        </button>
      </form>
      <p role="status" className={give.isSuccess ? "is-good" : "unseen"}>
        {give.isSuccess ? t.call.thanks : ""}
      </p>
      {give.isError && <Fault error={give.error} scope="text" />}
    </section>
  );
}
