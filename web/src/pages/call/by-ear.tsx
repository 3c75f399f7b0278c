// A call that is up, by ear: listened to, taken over from Milo, given back, ended.
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import workletUrl from "../../client/capture.worklet.js?url";
import { api, data, server, type Schema } from "../../client/http";
import { Ended } from "../../client/line";
import { NoMicrophone } from "../../client/microphone";
import { supervise, type Supervision, type Way, type Words } from "../../client/supervision";
import { fill, useTexts } from "../../language";
import { Confirm } from "../../parts/confirm";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Notice } from "../../parts/notice";
import { caller } from "../calls/words";
import { Trouble } from "../talk/trouble";

type State = { is: "idle" } | { is: "connecting" | "open"; way: Way };

export function ByEar({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const queries = useQueryClient();
  const [state, setState] = useState<State>({ is: "idle" });
  const [missed, setMissed] = useState(0);
  const [words, setWords] = useState<Words | null>(null);
  const [fault, setFault] = useState<unknown>(null);
  const running = useRef<Supervision | null>(null);
  const beginning = useRef<AbortController | null>(null);
  useEffect(
    () => () => {
      // Whoever leaves the page neither hears nor is heard any more.
      beginning.current?.abort();
      running.current?.stop();
    },
    [],
  );
  const seen = () => void queries.invalidateQueries({ queryKey: ["call", call.id] });
  const begin = async (way: Way) => {
    running.current?.stop();
    setFault(null);
    setMissed(0);
    setState({ is: "connecting", way });
    const { signal } = (beginning.current = new AbortController());
    try {
      running.current = await supervise(
        server,
        call.id,
        way,
        workletUrl,
        {
          begun: () => {
            setState({ is: "open", way });
            seen();
          },
          missed: (ms) => setMissed((before) => before + ms),
          said: (said) => {
            setWords(said);
            // The page has the turn itself soon after.
            if (!said.partial) seen();
          },
          ended: (why) => {
            running.current = null;
            setState({ is: "idle" });
            setWords(null);
            setFault(why);
            seen();
          },
        },
        signal,
      );
    } catch (error) {
      if (signal.aborted) return;
      setState({ is: "idle" });
      setFault(error);
    }
  };
  const way = state.is === "idle" ? null : state.way;
  const button = (which: Way, start: string, stop: string, icon: "speak" | "talk") => (
    <button
      type="button"
      className="button"
      aria-pressed={way === which}
      disabled={state.is === "connecting"}
      onClick={() => (way === which ? running.current?.stop() : void begin(which))}
    >
      <Icon name={way === which ? "stop" : icon} />
      {way === which ? stop : start}
    </button>
  );
  return (
    <>
      <div className="row">
        {button("audio", t.call.listen, t.call.listen_stop, "speak")}
        {button("takeover", t.call.take_over, t.call.give_back, "talk")}
        <HangUp call={call} />
      </div>
      <p role="status" className={state.is === "open" ? "is-good" : "unseen"}>
        {state.is === "open" ? (state.way === "audio" ? t.call.listening : t.call.taken) : ""}
      </p>
      {words && (
        <p aria-live="polite">
          <strong>{words.by === "milo" ? "Milo" : caller(t, call.from)}</strong> {words.text}
          {words.partial && " …"}
        </p>
      )}
      {missed > 0 && <p className="quiet small">{fill(t.call.sound_left_out, { n: (missed / 1000).toFixed(1) })}</p>}
      <p className="quiet small">{t.call.by_ear_hint}</p>
      {fault instanceof Ended ? (
        <Notice kind="bad" title={t.call.unreached}>
          <p>{t.call.unreached_hint}</p>
        </Notice>
      ) : fault instanceof NoMicrophone ? (
        <Trouble error={fault} />
      ) : (
        fault !== null && <Fault error={fault} scope="calls" />
      )}
    </>
  );
}

function HangUp({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const queries = useQueryClient();
  const who = call.direction === "out" ? call.to : caller(t, call.from);
  const end = useMutation({
    mutationFn: async () => data(api.DELETE("/api/v1/calls/{id}", { params: { path: { id: call.id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["call", call.id] }),
  });
  return (
    <>
      <Confirm question={fill(t.calls.hang_up_sure, { who })} confirm={t.calls.hang_up} onConfirm={() => end.mutate()}>
        {(open) => (
          <button type="button" className="button danger" disabled={end.isPending || end.isSuccess} onClick={open}>
            <Icon name="hang_up" />
            {end.isSuccess ? t.calls.hanging_up : t.calls.hang_up}
          </button>
        )}
      </Confirm>
      {end.isError && <Fault error={end.error} scope="calls" />}
    </>
  );
}
