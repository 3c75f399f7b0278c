import { useQuery } from "@tanstack/react-query";
import { ask, Problem, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Loading } from "../../parts/loading";
import { Notice } from "../../parts/notice";
import { every, useHealth } from "../../queries";
import { parse, type Metrics } from "./metrics";
import { Requests, Turns } from "./requests";

export function Overview() {
  const t = useTexts();
  const health = useHealth();
  const metrics = useQuery({
    queryKey: ["metrics"],
    queryFn: async () => parse(await (await ask("/metrics")).text()),
    refetchInterval: every(5000),
    retry: false,
  });
  const isOff = metrics.error instanceof Problem && metrics.error.status === 404;
  if (health.isPending) return <Loading />;
  if (health.isError) return <Fault error={health.error} scope="read" />;
  return (
    <>
      <State health={health.data} />
      <Parts health={health.data} />
      <Models health={health.data} metrics={metrics.data} />
      {metrics.data && (
        <>
          <Turns metrics={metrics.data} />
          <Requests metrics={metrics.data} />
        </>
      )}
      {metrics.isError && (isOff ? <p className="quiet">{t.admin.no_metrics}</p> : <Fault error={metrics.error} scope="read" />)}
    </>
  );
}

function State({ health }: { health: Schema["Health"] }) {
  const t = useTexts();
  const isWell = health.degraded.length === 0;
  return (
    <>
      <p className="row middle">
        <span className={`badge dot ${isWell ? "good" : "bad"}`}>{isWell ? t.admin.healthy : t.admin.degraded}</span>
        <span className={`badge dot ${health.ready ? "good" : "bad"}`}>{health.ready ? t.admin.ready : t.admin.unready}</span>
        <span className="quiet small">{fill(t.admin.version, { v: health.version })}</span>
      </p>
      {[...health.degraded, ...(health.unready ? [health.unready] : [])].length > 0 && (
        <Notice kind="bad" title={isWell ? t.admin.unready : t.admin.degraded}>
          <ul lang="en">
            {[...health.degraded, ...(health.unready ? [health.unready] : [])].map((fault) => (
              <li key={fault}>{fault}</li>
            ))}
          </ul>
        </Notice>
      )}
      {health.notes.length > 0 && (
        <ul className="quiet small" lang="en">
          {health.notes.map((note) => (
            <li key={note}>{note}</li>
          ))}
        </ul>
      )}
      {health.notice && (
        <Notice kind="warm" title={t.admin.demo}>
          <p>{t.admin.demo_hint}</p>
        </Notice>
      )}
    </>
  );
}

function Parts({ health }: { health: Schema["Health"] }) {
  const t = useTexts();
  const { number } = useFormats();
  const { database, vram } = health;
  return (
    <dl className="figures">
      <div>
        <dt>{t.admin.calls_now}</dt>
        <dd>
          {number(health.live_calls)}{" "}
          <small>{fill(t.common.of, { n: number(health.live_calls), all: number(health.call_limit) })}</small>
          <Meter share={health.live_calls / Math.max(1, health.call_limit)} />
        </dd>
      </div>
      <div>
        <dt>{t.admin.call_log}</dt>
        <dd>
          {database.kind === "postgres" ? "Postgres" : "SQLite"}
          <small className={database.connected ? undefined : "is-bad"}>
            {database.connected ? t.admin.written : t.admin.not_written}
          </small>
          {database.rows_waiting > 0 && <small>{fill(t.admin.rows_waiting, { n: number(database.rows_waiting) })}</small>}
          {database.rows_lost > 0 && (
            <small className="is-bad">{fill(t.admin.rows_lost, { n: number(database.rows_lost) })}</small>
          )}
        </dd>
      </div>
      <div>
        <dt>{t.admin.shared}</dt>
        <dd>{health.redis_connected ? t.admin.redis : <small>{t.admin.redis_off}</small>}</dd>
      </div>
      <div>
        <dt>{t.admin.memory}</dt>
        <dd>
          {vram.available ? (
            <>
              {fill(t.admin.gb, { used: number(vram.total_gb - vram.free_gb, 1), all: number(vram.total_gb, 1) })}
              <Meter share={1 - vram.free_gb / Math.max(vram.total_gb, 0.001)} />
            </>
          ) : (
            <small>{t.admin.no_gpu}</small>
          )}
        </dd>
      </div>
    </dl>
  );
}

/** A share as a bar; its figures stand beside it. */
function Meter({ share }: { share: number }) {
  return (
    <span className="meter" aria-hidden="true">
      <span style={{ width: `${Math.min(100, Math.max(0, share * 100))}%` }} />
    </span>
  );
}

function Models({ health, metrics }: { health: Schema["Health"]; metrics: Metrics | undefined }) {
  const t = useTexts();
  const { number } = useFormats();
  const jobs: Record<string, string> = {
    vad: t.admin.model_vad,
    turn: t.admin.model_turn,
    stt: t.admin.model_stt,
    translate: t.admin.model_translate,
    llm: t.admin.model_llm,
    tts: t.admin.model_tts,
  };
  const cloud = metrics?.sum("milo_llm_replies_total", { mode: "cloud" }) ?? 0;
  const fallbacks = metrics?.sum("milo_engine_fallbacks_total", { engine: "llm" }) ?? 0;
  return (
    <section className="stack" aria-labelledby="models">
      <h2 id="models">{t.admin.models}</h2>
      <dl className="figures">
        {health.models.map((model) => (
          <div key={model.job}>
            <dt>{jobs[model.job] ?? model.job}</dt>
            <dd>
              {model.name}
              {model.demonstration && <small>{t.admin.demonstration}</small>}
              <small>{model.size_bytes ? fill(t.admin.size, { n: number(model.size_bytes / 1e6, 1) }) : t.admin.no_size}</small>
              <small>{model.licence ? fill(t.admin.licence, { licence: model.licence }) : t.admin.no_licence}</small>
              {(health.queues[model.job] ?? 0) > 0 && (
                <small>{fill(t.admin.waiting, { n: number(health.queues[model.job] ?? 0) })}</small>
              )}
            </dd>
          </div>
        ))}
        {health.servers.map((server) => (
          <div key={`${server.job} ${server.engine}`}>
            <dt>
              {jobs[server.job] ?? server.job} · {t.admin.servers}
            </dt>
            <dd>
              {server.model}
              <small>{server.engine}</small>
            </dd>
          </div>
        ))}
        <div>
          <dt>{t.admin.mode}</dt>
          <dd>{health.mode === "cloud" ? t.admin.cloud : t.admin.local}</dd>
        </div>
        {health.servers.length > 0 && (
          <div>
            <dt>{t.admin.fallbacks}</dt>
            <dd>{fill(t.admin.fallback_share, { n: number(fallbacks), all: number(cloud + fallbacks) })}</dd>
          </div>
        )}
      </dl>
    </section>
  );
}
