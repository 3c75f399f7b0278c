// Talking with Milo: by voice where this Milo can, and by text.
import { useEffect, useReducer, useRef, useState, type FormEvent } from "react";
import { chat } from "../client/chat";
import type { Conversation } from "../client/conversation";
import { api, data, Problem, server } from "../client/http";
import { fill, useTexts } from "../language";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Locked } from "../parts/locked";
import { Title } from "../parts/title";
import { useHealth, usePaths } from "../queries";
import { recall, remember } from "../remembered";
import { dialled } from "./calls/words";
import { changed, type Change } from "./talk/messages";
import { Said } from "./talk/said";
import { Voice } from "./talk/voice";
import "./talk/talk.css";

/** Sentences that the models that ship understand, in the languages that Milo speaks. */
const EXAMPLES = [
  ["mg", "Amin'ny ora firy no misokatra ny birao?"],
  ["mg", "Ohatrinona ny tapakila?"],
  ["fr", "Quels sont vos horaires d'ouverture ?"],
] as const;
const LONGEST = 4000;
const VOICE = "/api/v1/conversation";

export default function Talk() {
  const t = useTexts();
  const health = useHealth().data;
  const hasVoice = usePaths().data?.has(VOICE) ?? false;
  const [messages, change] = useReducer(changed, []);
  const [session, setSession] = useState(() => recall("tab", "session"));
  const [fault, setFault] = useState<unknown>(null);
  const [open, setOpen] = useState<Conversation | null>(null);
  const isBusy = messages.some((said) => said.grows);
  const list = useRef<HTMLOListElement>(null);
  useRestored(session, change);
  // What is said last stays in sight, above the field.
  useEffect(() => {
    list.current?.lastElementChild?.scrollIntoView({ block: "nearest" });
  }, [messages]);
  useEffect(() => remember("tab", "session", session), [session]);

  const send = async (message: string) => {
    setFault(null);
    // Whoever is on the line writes into the call, and hears the answer.
    if (open) return open.say(message);
    change({ is: "asked", text: message });
    try {
      const answer = await chat(server, { message, ...(session && { session_id: session }) }, (text) => change({ is: "grew", text }));
      setSession(answer.session_id);
      change({ is: "answered", answer });
    } catch (error) {
      change({ is: "failed" });
      setFault(error);
    }
  };
  const empty = () => {
    if (session) void data(api.DELETE("/api/v1/sessions/{id}", { params: { path: { id: session } } })).catch(() => undefined);
    setSession("");
    setFault(null);
    change({ is: "emptied" });
  };
  const isEmpty = messages.length === 0;
  return (
    <div className={isEmpty ? "talk fresh" : "talk"}>
      <Title
        lede={isEmpty ? t.talk.lede : undefined}
        aside={
          !isEmpty && (
            <button type="button" className="button small" onClick={empty}>
              <Icon name="plus" />
              {t.talk.fresh}
            </button>
          )
        }
      >
        {t.talk.title}
      </Title>
      <Locked />
      {hasVoice && <Voice session={session} change={change} onSession={setSession} open={open} setOpen={setOpen} />}
      {!isEmpty && (
        <ol ref={list} className="conversation" aria-label={t.talk.transcript} aria-live="polite">
          {messages.map((said) => (
            <Said key={said.id} said={said} session={session} />
          ))}
        </ol>
      )}
      {fault !== null && <Fault error={fault} scope="text" />}
      {isEmpty && <Examples onChoose={(text) => void send(text)} />}
      <Composer busy={isBusy && !open} onSend={(text) => void send(text)} onHangUp={open ? () => open.stop() : undefined} />
      {isEmpty && health && dialled(health) && (
        <p className="quiet small by-phone">{fill(t.talk.by_phone, { uri: dialled(health) ?? "" })}</p>
      )}
      {isEmpty && health?.notice && (
        <p className="quiet small by-phone">
          <strong>{t.admin.demo}.</strong> {t.admin.demo_hint}
        </p>
      )}
    </div>
  );
}

/** What was said before the page was left, as long as Milo remembers it. */
function useRestored(session: string, change: (change: Change) => void) {
  const first = useRef(session);
  useEffect(() => {
    const id = first.current;
    if (!id) return;
    let isLeft = false;
    data(api.GET("/api/v1/sessions/{id}", { params: { path: { id } } }))
      .then((known) => {
        if (!isLeft) change({ is: "restored", exchanges: known.exchanges, language: known.language });
      })
      .catch((error: unknown) => {
        if (!(error instanceof Problem)) throw error;
      });
    return () => {
      isLeft = true;
    };
  }, [change]);
}

function Examples({ onChoose }: { onChoose: (text: string) => void }) {
  const t = useTexts();
  return (
    <div className="examples" role="group" aria-label={t.talk.try}>
      {EXAMPLES.map(([language, text]) => (
        <button key={text} type="button" lang={language} className="button" onClick={() => onChoose(text)}>
          {text}
        </button>
      ))}
    </div>
  );
}

function Composer({
  busy,
  onSend,
  onHangUp,
}: {
  busy: boolean;
  onSend: (text: string) => void;
  /** While a call is up: its end is within reach, however long the conversation has become. */
  onHangUp?: () => void;
}) {
  const t = useTexts();
  const [text, setText] = useState("");
  const field = useRef<HTMLTextAreaElement>(null);
  const send = (event?: FormEvent) => {
    event?.preventDefault();
    const message = text.trim();
    if (!message || busy) return;
    setText("");
    onSend(message);
    field.current?.focus();
  };
  return (
    <form className="composer" onSubmit={send}>
      {onHangUp && (
        <button type="button" className="button danger only" aria-label={t.talk.stop} title={t.talk.stop} onClick={onHangUp}>
          <Icon name="hang_up" />
        </button>
      )}
      <label htmlFor="message" className="unseen">
        {t.talk.message}
      </label>
      <textarea
        id="message"
        ref={field}
        rows={1}
        maxLength={LONGEST}
        placeholder={t.talk.placeholder}
        value={text}
        onChange={(event) => setText(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "Enter" && !event.shiftKey && !event.nativeEvent.isComposing) {
            event.preventDefault();
            send();
          }
        }}
      />
      <button type="submit" className="button main only" aria-label={t.talk.send} disabled={busy || !text.trim()}>
        <Icon name="send" />
      </button>
    </form>
  );
}
