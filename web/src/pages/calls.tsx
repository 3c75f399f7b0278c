// The calls that are up, and the log with its search.
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { api, ask, data, type Schema } from "../client/http";
import { between, duration, useFormats } from "../format";
import { fill, useTexts } from "../language";
import { Confirm } from "../parts/confirm";
import { Copyable } from "../parts/copyable";
import { Fault } from "../parts/fault";
import { Icon } from "../parts/icon";
import { Loading } from "../parts/loading";
import { More } from "../parts/more";
import { saveResponse } from "../parts/save";
import { Title } from "../parts/title";
import { every, useHealth } from "../queries";
import { caller, dialled, useOutcome } from "./calls/words";
import { Filters } from "./calls/filters";
import { query, type Filter } from "./calls/query";
import { Ways } from "./calls/ways";
import "./calls/calls.css";

type Call = Schema["Call"];

export default function Calls() {
  const t = useTexts();
  const [params, setParams] = useSearchParams();
  const filter: Filter = Object.fromEntries(params);
  return (
    <>
      <Title aside={<Export filter={filter} />}>{t.calls.title}</Title>
      <Ways here="/calls" />
      <LiveCalls />
      <section className="stack" aria-labelledby="log">
        <h2 id="log">{t.calls.log}</h2>
        <Filters filter={filter} onChange={(next) => setParams(new URLSearchParams(next), { replace: true })} />
        <Log filter={filter} />
      </section>
    </>
  );
}

function LiveCalls() {
  const t = useTexts();
  const calls = useQuery({
    queryKey: ["calls", "live"],
    queryFn: async () => data(api.GET("/api/v1/calls", { params: { query: { live: true, limit: 200 } } })),
    refetchInterval: every(2000),
  });
  if (!calls.data?.calls.length) return null;
  return (
    <section className="stack tight" aria-labelledby="live">
      <h2 id="live">{t.calls.live}</h2>
      <ul className="live-calls">
        {calls.data.calls.map((call) => (
          <LiveCall key={call.id} call={call} />
        ))}
      </ul>
    </section>
  );
}

function LiveCall({ call }: { call: Call }) {
  const t = useTexts();
  const queries = useQueryClient();
  const who = call.direction === "out" ? call.to : caller(t, call.from);
  const end = useMutation({
    mutationFn: async () => data(api.DELETE("/api/v1/calls/{id}", { params: { path: { id: call.id } } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["calls"] }),
  });
  const last = useQuery({
    queryKey: ["call", call.id],
    queryFn: async () => data(api.GET("/api/v1/calls/{id}", { params: { path: { id: call.id } } })),
    refetchInterval: every(2000),
  }).data?.turns.at(-1);
  return (
    <li className="card live-call">
      <div className="grow">
        <p>
          <Link href={`/calls/${call.id}`} className="who">
            {caller(t, call.from)} → {call.to}
          </Link>
        </p>
        {last && (
          <p className="quiet small now-said" lang={last.language ?? undefined}>
            {last.said_heard ?? last.said ?? last.heard}
          </p>
        )}
      </div>
      <span className="badge good dot">{call.answered ? t.calls.on_line : t.calls.not_answered}</span>
      <Clock since={call.answered ?? call.started} />
      <Confirm question={fill(t.calls.hang_up_sure, { who })} confirm={t.calls.hang_up} onConfirm={() => end.mutate()}>
        {(open) => (
          <button type="button" className="button danger" disabled={end.isPending || end.isSuccess} onClick={open}>
            <Icon name="hang_up" />
            {end.isSuccess ? t.calls.hanging_up : t.calls.hang_up}
          </button>
        )}
      </Confirm>
      {end.isError && <Fault error={end.error} scope="calls" />}
    </li>
  );
}

/** How long it has been, by the second. */
function Clock({ since }: { since: string }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return (
    <span className="figure" role="timer">
      {duration(between(since, null, now))}
    </span>
  );
}

function Log({ filter }: { filter: Filter }) {
  const t = useTexts();
  const [, setParams] = useSearchParams();
  const pages = useInfiniteQuery({
    queryKey: ["calls", "log", filter],
    queryFn: async ({ pageParam }) =>
      data(api.GET("/api/v1/calls", { params: { query: { ...query(filter), limit: 25, cursor: pageParam } } })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // Whoever reads older pages is not disturbed by newer rows.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : every(4000)(query)),
  });
  if (pages.isPending) return <Loading />;
  if (pages.isError) return <Fault error={pages.error} scope="read" />;
  const calls = pages.data.pages.flatMap((page) => page.calls);
  if (!calls.length) {
    return Object.keys(filter).length ? (
      <div className="empty">
        <strong>{t.calls.nothing_found}</strong>
        <button type="button" className="button" onClick={() => setParams({})}>
          {t.calls.clear}
        </button>
      </div>
    ) : (
      <Nothing />
    );
  }
  return (
    <>
      <ul className="log">
        {calls.map((call) => (
          <Row key={call.id} call={call} />
        ))}
      </ul>
      <More pages={pages} />
    </>
  );
}

function Nothing() {
  const t = useTexts();
  const dial = dialled(useHealth().data);
  return (
    <div className="empty">
      <strong>{t.calls.none}</strong>
      {dial && (
        <>
          <p>{t.calls.none_hint}</p>
          <Copyable text={dial} />
        </>
      )}
    </div>
  );
}

function Row({ call }: { call: Call }) {
  const t = useTexts();
  const { when } = useFormats();
  const outcome = useOutcome();
  const mos = mosOf(call);
  const [said, kind] = outcome(call);
  return (
    <li>
      <Link href={`/calls/${call.id}`} className="log-row">
        <Icon name={call.direction === "out" ? "outgoing" : "incoming"} />
        <span className="who">
          <span className="unseen">{call.direction === "out" ? t.calls.out : t.calls.in}: </span>
          {caller(t, call.from)} → {call.to}
        </span>
        <span className="when">{when(call.started)}</span>
        <span className="what">
          <span className={`badge ${kind}`}>{said}</span>
          <span>{call.turn_count === 1 ? t.calls.turn : fill(t.calls.turns, { n: call.turn_count })}</span>
          {call.language && <span>{call.language}</span>}
          {mos && <span>MOS {mos.toFixed(1)}</span>}
        </span>
        <span className="long figure">{duration(between(call.answered ?? call.started, call.ended))}</span>
      </Link>
    </li>
  );
}

function mosOf(call: Call): number | null {
  const legs = call.quality as { mos: number | null }[] | null | undefined;
  return legs?.[0]?.mos ?? null;
}

function Export({ filter }: { filter: Filter }) {
  const t = useTexts();
  const [fault, setFault] = useState<unknown>(null);
  const save = async (format: "csv" | "jsonl") => {
    setFault(null);
    try {
      await saveResponse(
        await ask(`/api/v1/calls/export?${new URLSearchParams({ ...query(filter), format } as Record<string, string>)}`),
        `calls.${format}`,
      );
    } catch (error) {
      setFault(error);
    }
  };
  return (
    <div className="stack tight">
      <div className="row middle" role="group" aria-label={t.calls.export}>
        <span className="quiet small">{t.calls.export}</span>
        <button type="button" className="button small" onClick={() => void save("csv")}>
          <Icon name="download" />
          {t.calls.csv}
        </button>
        <button type="button" className="button small" onClick={() => void save("jsonl")}>
          <Icon name="download" />
          {t.calls.jsonl}
        </button>
      </div>
      {fault !== null && <Fault error={fault} scope="read" />}
    </div>
  );
}
