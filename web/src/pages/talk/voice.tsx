// The big button: press it, and talk.
import { useEffect, useRef, useState } from "react";
import workletUrl from "../../client/capture.worklet.js?url";
import { Conversation } from "../../client/conversation";
import { server } from "../../client/http";
import { Ended, type Told } from "../../client/line";
import { useTexts } from "../../language";
import { Choice } from "../../parts/choice";
import { Icon } from "../../parts/icon";
import { follow, type Replies } from "../../sound/replies";
import type { Change } from "./messages";
import { Digits } from "./digits";
import { Level } from "./level";
import { Trouble } from "./trouble";
import { Way } from "./way";

type State = "idle" | "connecting" | "open";
type Manner = "hands_free" | "push";

export function Voice({
  session,
  change,
  onSession,
  open,
  setOpen,
}: {
  session: string;
  change: (change: Change) => void;
  onSession: (id: string) => void;
  open: Conversation | null;
  setOpen: (conversation: Conversation | null) => void;
}) {
  const t = useTexts();
  const [state, setState] = useState<State>("idle");
  const [manner, setManner] = useState<Manner>("hands_free");
  const [muted, setMuted] = useState(false);
  const [fault, setFault] = useState<unknown>(null);
  const running = useRef<Conversation | null>(null);
  const beginning = useRef<AbortController | null>(null);
  /** What is chosen now: it may change while a call begins. */
  const chosen = useRef<Manner>(manner);
  const replies = useRef<Replies | null>(null);
  const call = useRef({ id: "", turn: 0 });
  const [hearing, setHearing] = useState(false);
  const [speaking, setSpeaking] = useState(false);
  useEffect(
    () => () => {
      // Whoever leaves is not heard, even where the call has not begun yet.
      beginning.current?.abort();
      running.current?.stop();
    },
    [],
  );

  const told = (message: Told) => {
    switch (message.type) {
      case "session":
        call.current = { id: message.call_id, turn: 0 };
        onSession(message.session_id);
        break;
      case "vad":
        setHearing(message.speaking);
        break;
      case "state":
        if (message.value === "speaking") replies.current?.begin();
        break;
      case "transcript":
        change({ is: "heard", text: message.text, partial: message.partial, language: message.language });
        break;
      case "reply_text":
        if (message.partial) change({ is: "clause", text: message.text, call: call.current.id });
        else {
          change({
            is: "replied",
            text: message.text,
            heard: message.heard,
            interrupted: message.interrupted,
            took: message.total_ms ?? undefined,
            call: call.current.id,
          });
          const { id, turn } = { ...call.current, turn: ++call.current.turn };
          replies.current?.end((sound) => change({ is: "sound", sound, call: id, turn }));
        }
        break;
      case "mode":
        change({ is: "mode", mode: message.value });
        break;
      case "error":
        setFault(new Ended("refused", message.error, message.code ?? "problem"));
        break;
      case "clear":
      case "dtmf":
      case "ended":
        break;
    }
  };
  const start = async () => {
    setFault(null);
    setState("connecting");
    const { signal } = (beginning.current = new AbortController());
    try {
      const conversation = await Conversation.open(server, workletUrl, {
        told,
        ...(session && { session }),
        muted: chosen.current === "push",
        signal,
        speaking: setSpeaking,
        // A fault that was told before says more than the end that it led to.
        ended: (why) => {
          running.current = replies.current = null;
          setOpen(null);
          setState("idle");
          setHearing(false);
          setSpeaking(false);
          setFault((before: unknown) => before ?? why);
        },
      });
      conversation.muted = chosen.current === "push";
      running.current = conversation;
      replies.current = follow(conversation.sources.said);
      setMuted(false);
      setOpen(conversation);
      setState("open");
    } catch (error) {
      if (signal.aborted) return;
      setState("idle");
      setFault(error);
    }
  };
  const hold = (is: boolean) => {
    if (running.current) running.current.muted = !is;
  };
  const mute = (is: boolean) => {
    setMuted(is);
    hold(!is);
  };
  const choose = (next: Manner) => {
    chosen.current = next;
    setManner(next);
    setMuted(false);
    hold(next !== "push");
  };
  const who = state !== "open" ? state : hearing ? "hearing" : speaking ? "speaking" : "listening";
  const says = {
    idle: "",
    connecting: t.talk.connecting,
    listening: muted ? t.talk.is_muted : t.talk.listening,
    hearing: t.talk.hearing,
    speaking: t.talk.speaking,
  }[who];
  return (
    <section className={`voice ${who}`} aria-label={t.talk.start}>
      <Level conversation={open} />
      {open && manner === "push" ? (
        <button
          type="button"
          className="big"
          onPointerDown={() => hold(true)}
          onPointerUp={() => hold(false)}
          onPointerLeave={() => hold(false)}
          onKeyDown={(event) => {
            if (event.key === " " || event.key === "Enter") hold(true);
          }}
          onKeyUp={() => hold(false)}
          onBlur={() => hold(false)}
        >
          <Icon name="talk" />
          <span>{t.talk.hold}</span>
        </button>
      ) : (
        <button
          type="button"
          className="big"
          disabled={state === "connecting"}
          onClick={() => (open ? open.stop() : void start())}
        >
          <Icon name={open ? "hang_up" : "talk"} />
          <span>{open ? t.talk.stop : t.talk.start}</span>
        </button>
      )}
      <p role="status" className="quiet">
        {says}
      </p>
      {open && <Way conversation={open} />}
      <div className="row middle centre">
        <Choice
          hideLabel
          label={t.talk.mode}
          value={manner}
          onChange={choose}
          options={[
            { value: "hands_free", text: t.talk.hands_free },
            { value: "push", text: t.talk.push },
          ]}
        />
        {open && manner === "hands_free" && (
          <button type="button" className="button" aria-pressed={muted} onClick={() => mute(!muted)}>
            <Icon name={muted ? "muted" : "talk"} />
            {t.talk.mute}
          </button>
        )}
        {open && manner === "push" && (
          <button type="button" className="button" onClick={() => open.stop()}>
            <Icon name="hang_up" />
            {t.talk.stop}
          </button>
        )}
      </div>
      {open && <Digits onDigit={(digit) => open.digit(digit)} />}
      <Trouble error={fault} />
    </section>
  );
}
