// What whoever follows a call that is up does in it: by ear, or by what its agent is to say, or heed.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, data, type Schema } from "../../client/http";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { ByEar } from "./by-ear";

const LONGEST = 1000;

export function Supervise({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const queries = useQueryClient();
  const [text, setText] = useState("");
  const prompt = useMutation({
    mutationFn: async (wanted: Schema["AgentPrompt"]) =>
      data(api.POST("/api/v1/calls/{id}/agent", { params: { path: { id: call.id } }, body: wanted })),
    onSuccess: () => {
      setText("");
      void queries.invalidateQueries({ queryKey: ["call", call.id] });
    },
  });
  const words = text.trim();
  const say = (event: FormEvent) => {
    event.preventDefault();
    if (words) prompt.mutate({ say: words });
  };
  return (
    <section className="card stack" aria-labelledby="supervise">
      <h2 id="supervise">{t.call.supervise}</h2>
      {call.answered && <ByEar call={call} />}
      <form className="row" onSubmit={say}>
        <label className="grow">
          {t.call.supervise_text}
          <input value={text} maxLength={LONGEST} onChange={(event) => setText(event.target.value)} />
        </label>
        <button type="submit" className="button main" disabled={!words || prompt.isPending}>
          {t.call.say_it}
        </button>
        <button
          type="button"
          className="button"
          disabled={!words || prompt.isPending}
          onClick={() => prompt.mutate({ instruct: words })}
        >
          {t.call.instruct}
        </button>
      </form>
      <p className="quiet small">{t.call.supervise_hint}</p>
      <p role="status" className={prompt.isSuccess ? "is-good" : "unseen"}>
        {prompt.isSuccess ? t.call.supervised : ""}
      </p>
      {prompt.isError && <Fault error={prompt.error} scope="calls" />}
    </section>
  );
}
