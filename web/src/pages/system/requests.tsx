import { useFormats } from "../../format";
import { useTexts } from "../../language";
import type { Metrics } from "./metrics";

/** How long voice turns take, stage by stage, from the histograms of all calls since the start. */
export function Turns({ metrics }: { metrics: Metrics }) {
  const t = useTexts();
  const { number, span } = useFormats();
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
        <div className="table" tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th scope="col">{t.admin.stage}</th>
                <th scope="col" className="end">
                  {t.admin.typical}
                </th>
                <th scope="col" className="end">
                  {t.admin.slow}
                </th>
                <th scope="col" className="end">
                  {t.admin.turns_count}
                </th>
              </tr>
            </thead>
            <tbody>
              {known.map(({ stage, name, count, median, slow }) => (
                <tr key={stage} className={stage === "total" ? "sum" : undefined}>
                  <td>{name}</td>
                  <td className="end">{median == null ? "" : span(median * 1000)}</td>
                  <td className="end">{slow == null ? "" : span(slow * 1000)}</td>
                  <td className="end">{number(count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
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
  const { number, span } = useFormats();
  const routes = [...metrics.summaries("milo_http_request_seconds", "route")].sort(([, a], [, b]) => b.count - a.count);
  const total = routes.reduce((sum, [, { count }]) => sum + count, 0);
  return (
    <section className="stack" aria-labelledby="requests">
      <h2 id="requests">{t.admin.requests}</h2>
      <p className="quiet small">
        {t.admin.request_count}: {number(total)}
      </p>
      <div className="table" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t.admin.route}</th>
              <th scope="col" className="end">
                {t.admin.typical}
              </th>
              <th scope="col" className="end">
                {t.admin.slow}
              </th>
              <th scope="col" className="end">
                {t.admin.count}
              </th>
            </tr>
          </thead>
          <tbody>
            {routes.slice(0, MOST).map(([route, { count, median, slow }]) => (
              <tr key={route}>
                <td>
                  <code>{route}</code>
                </td>
                <td className="end">{median == null ? "" : span(median * 1000)}</td>
                <td className="end">{slow == null ? "" : span(slow * 1000)}</td>
                <td className="end">{number(count)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}
