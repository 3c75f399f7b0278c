import type { ReactNode } from "react";
import { useFormats } from "../../format";
import { useTexts } from "../../language";
import type { Metrics, Summary } from "./metrics";

type Row = { id: string; name: ReactNode; sum?: boolean; summary: Summary };

/** How long things typically take and how long at times, a row each. */
function Times({ what, count, rows }: { what: string; count: string; rows: Row[] }) {
  const t = useTexts();
  const { number, span } = useFormats();
  const time = (seconds: number | null | undefined) => (seconds == null ? "" : span(seconds * 1000));
  return (
    <div className="table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th scope="col">{what}</th>
            {[t.admin.typical, t.admin.slow, count].map((name) => (
              <th key={name} scope="col" className="end">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ id, name, sum, summary }) => (
            <tr key={id} className={sum ? "sum" : undefined}>
              <td>{name}</td>
              <td className="end">{time(summary.median)}</td>
              <td className="end">{time(summary.slow)}</td>
              <td className="end">{number(summary.count)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** How long voice turns take, stage by stage, from the histograms of all calls since the start. */
export function Turns({ metrics }: { metrics: Metrics }) {
  const t = useTexts();
  const stages = metrics.summaries("milo_stage_seconds", "stage");
  const names = {
    vad: t.call.vad,
    end_of_turn: t.call.end,
    stt: t.call.stt,
    llm_first_token: t.call.llm,
    tts_first_sample: t.call.tts,
    packet_out: t.call.out,
    total: t.call.total,
  };
  const known = Object.entries(names).flatMap(([stage, name]) => {
    const summary = stages.get(stage);
    return summary?.count ? [{ stage, name, ...summary }] : [];
  });
  return (
    <section className="stack" aria-labelledby="turn-latency">
      <h2 id="turn-latency">{t.admin.turn_latency}</h2>
      {known.length ? (
        <Times
          what={t.admin.stage}
          count={t.admin.turns_count}
          rows={known.map(({ stage, name, ...summary }) => ({ id: stage, name, sum: stage === "total", summary }))}
        />
      ) : (
        <p className="quiet">{t.admin.no_turns}</p>
      )}
    </section>
  );
}

const MOST = 12;

/** What was asked over HTTP, most often first. */
export function Requests({ metrics }: { metrics: Metrics }) {
  const t = useTexts();
  const { number } = useFormats();
  const routes = [...metrics.summaries("milo_http_request_seconds", "route")].sort(([, a], [, b]) => b.count - a.count);
  const total = routes.reduce((sum, [, { count }]) => sum + count, 0);
  return (
    <section className="stack" aria-labelledby="requests">
      <h2 id="requests">{t.admin.requests}</h2>
      <p className="quiet small">
        {t.admin.request_count}: {number(total)}
      </p>
      <Times
        what={t.admin.route}
        count={t.admin.count}
        rows={routes.slice(0, MOST).map(([route, summary]) => ({ id: route, name: <code>{route}</code>, summary }))}
      />
    </section>
  );
}
