// What callers want of the people of the house: messages, and wishes to be called back.
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link, useSearchParams } from "wouter";
import { api, data, type Schema } from "../client/http";
import { useFormats } from "../format";
import { fill, useTexts } from "../language";
import { Choice } from "../parts/choice";
import { Fault } from "../parts/fault";
import { Loading } from "../parts/loading";
import { More } from "../parts/more";
import { Title } from "../parts/title";
import { every, useMay } from "../queries";
import { Ways } from "./calls/ways";

/** `all` stands in the address only: the API has no word for what is no matter. */
const STATES = ["open", "calling", "done", "failed", "all"] as const;
const KINDS = ["all", "message", "call_back"] as const;

type State = (typeof STATES)[number];
type Kind = (typeof KINDS)[number];

const among = <T extends string>(all: readonly T[], value: string | null): T => all.find((one) => one === value) ?? (all[0] as T);

export default function Requests() {
  const t = useTexts();
  const [params, setParams] = useSearchParams();
  const [state, kind] = [among(STATES, params.get("state")), among(KINDS, params.get("kind"))];
  const set = (state: State, kind: Kind) =>
    setParams({ ...(state !== "open" && { state }), ...(kind !== "all" && { kind }) }, { replace: true });
  const states = {
    open: t.requests.open,
    calling: t.requests.calling,
    done: t.requests.done,
    failed: t.requests.failed,
    all: t.calls.any,
  };
  const kinds = { all: t.calls.any, message: t.requests.message, call_back: t.requests.call_back };
  return (
    <>
      <Title lede={t.requests.lede}>{t.requests.title}</Title>
      <Ways here="/requests" />
      <div className="row spaced">
        <Choice
          label={t.common.state}
          value={state}
          onChange={(next) => set(next, kind)}
          options={STATES.map((value) => ({ value, text: states[value] }))}
        />
        <Choice
          label={t.requests.kind}
          value={kind}
          onChange={(next) => set(state, next)}
          options={KINDS.map((value) => ({ value, text: kinds[value] }))}
        />
      </div>
      <List state={state} kind={kind} />
    </>
  );
}

function List({ state, kind }: { state: State; kind: Kind }) {
  const t = useTexts();
  const pages = useInfiniteQuery({
    queryKey: ["requests", state, kind],
    queryFn: async ({ pageParam }) => {
      const query = { limit: 25, cursor: pageParam, ...(state !== "all" && { state }), ...(kind !== "all" && { kind }) };
      return data(api.GET("/api/v1/requests", { params: { query } }));
    },
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    // Whoever reads older pages is not disturbed by newer rows.
    refetchInterval: (query) => ((query.state.data?.pages.length ?? 0) > 1 ? false : every(4000)(query)),
  });
  if (pages.isPending) return <Loading />;
  if (pages.isError) return <Fault error={pages.error} scope="read" />;
  const requests = pages.data.pages.flatMap((page) => page.requests);
  if (!requests.length)
    return (
      <div className="empty">
        <strong>{state === "open" ? t.requests.none_open : t.requests.none}</strong>
        <p>{t.requests.none_hint}</p>
      </div>
    );
  return (
    <>
      <ul className="stack tight">
        {requests.map((request) => (
          <One key={request.id} request={request} />
        ))}
      </ul>
      <More pages={pages} />
    </>
  );
}

function One({ request }: { request: Schema["CallerRequest"] }) {
  const t = useTexts();
  const { when } = useFormats();
  const may = useMay();
  const queries = useQueryClient();
  const settle = useMutation({
    mutationFn: async (done: boolean) =>
      data(api.POST("/api/v1/requests/{id}", { params: { path: { id: request.id } }, body: { done } })),
    onSettled: () => queries.invalidateQueries({ queryKey: ["requests"] }),
  });
  const kinds: Record<string, string> = { message: t.requests.message, call_back: t.requests.call_back };
  return (
    <li className="card stack tight">
      <div className="row middle">
        <p className="row middle grow">
          <span className="badge">{kinds[request.kind] ?? request.kind}</span>
          {request.telephone && <strong>{request.telephone}</strong>}
          {request.wanted && <span>{request.wanted}</span>}
          {request.state === "calling" && <span className="badge">{t.requests.calling}</span>}
          {request.state === "failed" && <span className="badge">{t.requests.failed}</span>}
        </p>
        {may.calls && (
          <button
            type="button"
            className={request.done ? "button small" : "button small main"}
            disabled={settle.isPending}
            onClick={() => settle.mutate(!request.done)}
          >
            {request.done ? t.requests.reopen : t.requests.settle}
          </button>
        )}
      </div>
      {request.text && <p>{request.text}</p>}
      <p className="quiet small row middle">
        {when(request.at)}
        <Link href={`/calls/${request.call_id}`}>{t.requests.call}</Link>
        {request.due && <span>{fill(t.requests.due, { when: when(request.due) })}</span>}
        {request.call_back_id && <Link href={`/calls/${request.call_back_id}`}>{t.requests.call_back_call}</Link>}
        {request.done && (
          <span>{fill(t.requests.done_by, { who: request.done_by ?? t.common.unknown, when: when(request.done) })}</span>
        )}
      </p>
      {settle.isError && <Fault error={settle.error} scope="calls" />}
    </li>
  );
}
