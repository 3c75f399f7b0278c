// One call: what was said and how quickly, its sound, its signalling, its events.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "wouter";
import { api, data, type Schema } from "../client/http";
import { between, duration, useFormats } from "../format";
import { fill, useTexts } from "../language";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Loading } from "../parts/loading";
import { Title } from "../parts/title";
import { every } from "../queries";
import { Analysis } from "./call/analysis";
import { Events } from "./call/events";
import { Feedback } from "./call/feedback";
import { Interpreted, isUtterance } from "./call/interpreted";
import { Ladder } from "./call/ladder";
import { Quality, type Leg } from "./call/quality";
import { Recording } from "./call/recording";
import { Supervise } from "./call/supervise";
import { Turn } from "./call/turn";
import { caller, useOutcome } from "./calls/words";
import "./call/call.css";

export default function CallPage() {
  const t = useTexts();
  const { id = "" } = useParams();
  const call = useQuery({
    queryKey: ["call", id],
    queryFn: async () => data(api.GET("/api/v1/calls/{id}", { params: { path: { id } } })),
    // A call that is over changes no more, but for its recording, which may be on its way, and what the model may write down of it.
    refetchInterval: (query) => (query.state.data && isSettled(query.state.data) ? false : every(2000)(query)),
  });
  return (
    <>
      <Link href="/calls" className="way-back">
        <Icon name="back" />
        {t.calls.back}
      </Link>
      <Title>
        {call.data ? fill(t.call.title, { from: caller(t, call.data.from), to: call.data.to }) : t.calls.title}
      </Title>
      {call.isPending && <Loading />}
      {call.isError && <Fault error={call.error} scope="read" />}
      {call.data && <Whole call={call.data} />}
    </>
  );
}

/** How long after its end a call without an analysis may still get one, in milliseconds: longer, where the model has much to do. */
const ANALYSIS = 60_000;

const isSettled = ({ ended, recording_state, analysis }: Schema["CallWithTurns"]): boolean =>
  !!ended && recording_state !== "live" && (!!analysis || Date.now() - Date.parse(ended) > ANALYSIS);

function Whole({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const [at, setAt] = useState<{ ms: number; asked: number } | null>(null);
  const [playing, setPlaying] = useState<number | null>(null);
  // What was interpreted is shown by its events, which also have how sure it is.
  const spoken = call.turns.filter((turn) => !turn.heard_from && (turn.heard ?? turn.said));
  const starts = spoken.map(startOf);
  const lines = [
    ...spoken.map((turn) => ({ at: turn.at, turn })),
    ...call.events.filter(isUtterance).map((event) => ({ at: event.at, event })),
  ].sort((one, other) => Date.parse(one.at) - Date.parse(other.at));
  const now = playing === null ? undefined : spoken[starts.findLastIndex((start) => start !== null && start <= playing)];
  const playFrom = call.recording ? (ms: number) => setAt({ ms, asked: Date.now() }) : undefined;
  return (
    <>
      <Facts call={call} />
      {call.analysis && <Analysis analysis={call.analysis} />}
      {call.recording && <Recording call={call} at={at} marks={starts.filter((start) => start !== null)} onTime={setPlaying} />}
      <section className="stack" aria-labelledby="transcript">
        <h2 id="transcript">{t.call.transcript}</h2>
        {lines.length ? (
          <ol className="turns">
            {lines.map((line) =>
              "turn" in line ? (
                <Turn key={`turn ${line.turn.number}`} turn={line.turn} isNow={line.turn === now} onPlay={playFrom} />
              ) : (
                <Interpreted key={`event ${line.event.number}`} event={line.event} />
              ),
            )}
          </ol>
        ) : (
          <p className="quiet">{t.call.nothing_said}</p>
        )}
        <Ending call={call} />
      </section>
      {!call.ended && <Supervise call={call} />}
      <Feedback call={call} />
      <Quality legs={(call.quality as Leg[] | null | undefined) ?? []} />
      <Ladder id={call.id} live={!call.ended} />
      <Events events={call.events} started={call.started} />
    </>
  );
}

/** Where in the recording a turn begins, in milliseconds. */
const startOf = ({ recording_at_ms: at }: Schema["Turn"]): number | null => at.heard_from ?? at.said_from ?? null;

function Facts({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  const { when } = useFormats();
  const [outcome, kind] = useOutcome()(call);
  return (
    <dl className="facts">
      <div>
        <dt>{t.common.state}</dt>
        <dd>
          <span className={`badge ${kind} dot`}>{outcome}</span>
        </dd>
      </div>
      <div>
        <dt>{t.calls.started}</dt>
        <dd>{when(call.started)}</dd>
      </div>
      <div>
        <dt>{t.calls.lasted}</dt>
        <dd className="figure">{duration(between(call.answered ?? call.started, call.ended))}</dd>
      </div>
      <div>
        <dt>{t.calls.direction}</dt>
        <dd>{call.direction === "out" ? t.calls.out : t.calls.in}</dd>
      </div>
      {call.dialplan && (
        <div>
          <dt>{t.calls.plan}</dt>
          <dd>{call.dialplan}</dd>
        </div>
      )}
      {call.language && (
        <div>
          <dt>{t.common.language}</dt>
          <dd>{call.language === "mg" ? t.common.mg : call.language === "fr" ? t.common.fr : call.language}</dd>
        </div>
      )}
    </dl>
  );
}

function Ending({ call }: { call: Schema["CallWithTurns"] }) {
  const t = useTexts();
  if (!call.ended) return null;
  const by = { caller: t.call.ended_by_caller, milo: t.call.ended_by_milo, network: t.call.ended_by_network }[
    call.hangup_by ?? ""
  ];
  return (
    <p className="quiet small">
      {by}{" "}
      {call.end_reason && (
        <span lang="en">
          ({call.end_reason}
          {call.sip_status ? `, SIP ${call.sip_status}` : ""})
        </span>
      )}
    </p>
  );
}
