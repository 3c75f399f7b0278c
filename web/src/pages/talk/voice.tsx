// The big button: press it, and talk.
import { useEffect, useRef, useState } from "react";
import { Conversation, Ended, type Told } from "../../client/conversation";
import { NoMicrophone } from "../../client/microphone";
import { useTexts } from "../../language";
import { Choice } from "../../parts/choice";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Notice } from "../../parts/notice";
import type { Change } from "./messages";
import { Digits } from "./digits";
import { Level } from "./level";

type State = "idle" | "connecting" | "open";
type Way = "hands_free" | "push";

export function Voice({
  session,
  change,
  onSession,
}: {
  session: string;
  change: (change: Change) => void;
  onSession: (id: string) => void;
}) {
  const t = useTexts();
  const [state, setState] = useState<State>("idle");
  const [way, setWay] = useState<Way>("hands_free");
  const [fault, setFault] = useState<unknown>(null);
  const [open, setOpen] = useState<Conversation | null>(null);
  const running = useRef<Conversation | null>(null);
  const call = useRef("");
  const [hearing, setHearing] = useState(false);
  const [speaking, setSpeaking] = useState(false);
  useEffect(() => () => running.current?.stop(), []);

  const told = (message: Told) => {
    switch (message.type) {
      case "session":
        call.current = message.call_id;
        onSession(message.session_id);
        break;
      case "vad":
        setHearing(message.speaking);
        break;
      case "transcript":
        change({ is: "heard", text: message.text, partial: message.partial, language: message.language });
        break;
      case "reply_text":
        if (message.partial) change({ is: "clause", text: message.text, call: call.current });
        else
          change({
            is: "replied",
            text: message.text,
            heard: message.heard,
            interrupted: message.interrupted,
            took: message.total_ms ?? undefined,
            call: call.current,
          });
        break;
      case "mode":
        change({ is: "mode", mode: message.value });
        break;
      case "error":
        setFault(new Ended("refused", message.error));
        break;
      case "clear":
      case "dtmf":
        break;
    }
  };
  const start = async () => {
    setFault(null);
    setState("connecting");
    try {
      const conversation = await Conversation.open({
        told,
        ...(session && { session }),
        speaking: setSpeaking,
        // A fault that was told before says more than the end that it led to.
        ended: (why) => {
          running.current = null;
          setOpen(null);
          setState("idle");
          setHearing(false);
          setFault((before: unknown) => before ?? why);
        },
      });
      conversation.muted = way === "push";
      running.current = conversation;
      setOpen(conversation);
      setState("open");
    } catch (error) {
      setState("idle");
      setFault(error);
    }
  };
  const hold = (is: boolean) => {
    if (running.current) running.current.muted = !is;
  };
  const choose = (next: Way) => {
    setWay(next);
    if (running.current) running.current.muted = next === "push";
  };
  const who = state !== "open" ? state : hearing ? "hearing" : speaking ? "speaking" : "listening";
  const says = {
    idle: "",
    connecting: t.talk.connecting,
    listening: t.talk.listening,
    hearing: t.talk.hearing,
    speaking: t.talk.speaking,
  }[who];
  return (
    <section className={`voice ${who}`} aria-label={t.talk.start}>
      <Level conversation={open} />
      {open && way === "push" ? (
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
      <div className="row middle centre">
        <Choice
          hideLabel
          label={t.talk.mode}
          value={way}
          onChange={choose}
          options={[
            { value: "hands_free", text: t.talk.hands_free },
            { value: "push", text: t.talk.push },
          ]}
        />
        {open && way === "push" && (
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

/** What went wrong, and what to do about it. */
function Trouble({ error }: { error: unknown }) {
  const t = useTexts();
  if (error === null) return null;
  if (error instanceof NoMicrophone) {
    const [title, hint] = {
      denied: [t.talk.microphone, t.talk.microphone_hint],
      device: [t.talk.device, t.talk.device_hint],
      insecure: [t.talk.insecure, t.talk.insecure_hint],
    }[error.why] as [string, string];
    return (
      <Notice kind="bad" title={title}>
        <p>{hint}</p>
      </Notice>
    );
  }
  if (error instanceof Ended) {
    const [title, hint] = {
      full: [t.talk.full, t.talk.full_hint],
      lost: [t.talk.lost, t.talk.lost_hint],
      refused: [t.fault.refused, ""],
    }[error.why] as [string, string];
    return (
      <Notice kind="bad" title={title}>
        {hint && <p>{hint}</p>}
        {error.detail && (
          <p className="own-words" lang="en">
            {error.detail}
          </p>
        )}
      </Notice>
    );
  }
  return <Fault error={error} scope="text" />;
}
