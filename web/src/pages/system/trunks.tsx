import { useQuery } from "@tanstack/react-query";
import { api, data, type Schema } from "../../client/http";
import { duration, useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Loading } from "../../parts/loading";

/** The API shows a trunk's configuration beside its state. */
type Trunk = Schema["Trunk"] & { name?: string; gateway?: string | null; address?: string | null };

export default function Trunks() {
  return (
    <>
      <TrunkList />
      <Queues />
      <Registrations />
    </>
  );
}

function TrunkList() {
  const t = useTexts();
  const trunks = useQuery({
    queryKey: ["trunks"],
    queryFn: async () => (await data(api.GET("/api/v1/trunks"))).trunks as Trunk[],
  });
  if (trunks.isPending) return <Loading />;
  if (trunks.isError) return <Fault error={trunks.error} scope="read" />;
  if (!trunks.data.length)
    return (
      <div className="empty">
        <strong>{t.admin.no_trunks}</strong>
        <p>{t.admin.no_trunks_hint}</p>
      </div>
    );
  return (
    <ul className="stack">
      {trunks.data.map((trunk, index) => (
        <li key={trunk.name ?? index} className="card stack tight">
          <One trunk={trunk} />
        </li>
      ))}
    </ul>
  );
}

function One({ trunk }: { trunk: Trunk }) {
  const t = useTexts();
  const { number } = useFormats();
  const isBad = trunk.state === "failed" || trunk.reachable === false;
  return (
    <>
      <div className="row middle">
        <h2 className="grow">{trunk.name}</h2>
        <span className={`badge dot ${isBad ? "bad" : "good"}`} lang="en">
          {trunk.state}
        </span>
        {trunk.reachable != null && (
          <span className={`badge ${trunk.reachable ? "good" : "bad"}`}>
            {trunk.reachable ? fill(t.admin.reachable, { n: trunk.options_ms ?? 0 }) : t.admin.unreachable}
          </span>
        )}
      </div>
      {(trunk.gateway ?? trunk.address) && (
        <p>
          <code>{trunk.gateway ?? trunk.address}</code>
        </p>
      )}
      {trunk.warning && (
        <p className="is-bad" lang="en">
          {trunk.warning}
        </p>
      )}
      {trunk.unreachable && (
        <p className="is-bad small" lang="en">
          {trunk.unreachable}
        </p>
      )}
      {trunk.last_error && (
        <p className="quiet small">
          {t.admin.last_error}: <span lang="en">{trunk.last_error}</span>
        </p>
      )}
      {trunk.registrations.map((registration) => (
        <p key={registration.registrar} className="small">
          {t.admin.registrar} <code>{registration.registrar}</code>{" "}
          <span
            className={`badge ${registration.state === "registered" ? "good" : registration.state === "failed" ? "bad" : ""}`}
            lang="en"
          >
            {registration.state}
          </span>
          {registration.last_error && (
            <span className="quiet" lang="en">
              {" "}
              {registration.last_error}
            </span>
          )}
        </p>
      ))}
      <dl className="facts small">
        <div>
          <dt>{t.admin.trunk_live}</dt>
          <dd>{number(trunk.calls_live)}</dd>
        </div>
        <div>
          <dt>{t.admin.trunk_in}</dt>
          <dd>{number(trunk.calls_in)}</dd>
        </div>
        <div>
          <dt>{t.admin.trunk_out}</dt>
          <dd>{number(trunk.calls_out)}</dd>
        </div>
        <div>
          <dt>{t.admin.trunk_refused}</dt>
          <dd>{number(trunk.refused_in + trunk.refused_out)}</dd>
        </div>
        <div>
          <dt>{t.admin.minutes}</dt>
          <dd>{number(trunk.minutes_today)}</dd>
        </div>
      </dl>
    </>
  );
}

function Queues() {
  const t = useTexts();
  const queues = useQuery({ queryKey: ["queues"], queryFn: async () => (await data(api.GET("/api/v1/queues"))).queues });
  if (!queues.data) return null;
  return (
    <section className="stack tight" aria-labelledby="queues">
      <h2 id="queues">{t.admin.queues}</h2>
      {queues.data.length === 0 && <p className="quiet">{t.admin.no_queues}</p>}
      {queues.data.map((queue) => (
        <div key={queue.name} className="card stack tight">
          <div className="row middle">
            <h3 className="grow">{queue.name}</h3>
            <span className="badge">{fill(t.admin.waiting, { n: queue.waiting.length })}</span>
            {queue.expected_wait_s != null && (
              <span className="quiet small">{fill(t.admin.expected, { n: queue.expected_wait_s })}</span>
            )}
          </div>
          <ol>
            {queue.waiting.map((waiter) => (
              <li key={waiter.call} className="small">
                <code>{waiter.call}</code> {fill(t.admin.waited, { n: waiter.waited_s })}{" "}
                {waiter.rings && <span className="badge good">{t.admin.rings}</span>}
              </li>
            ))}
          </ol>
        </div>
      ))}
    </section>
  );
}

function Registrations() {
  const t = useTexts();
  const accounts = useQuery({
    queryKey: ["registrations"],
    queryFn: async () => (await data(api.GET("/api/v1/registrations"))).accounts,
  });
  if (!accounts.data) return null;
  return (
    <section className="stack tight" aria-labelledby="registrations">
      <h2 id="registrations">{t.admin.registrations}</h2>
      {accounts.data.length === 0 && <p className="quiet">{t.admin.no_registrations}</p>}
      {accounts.data.map((account) => (
        <div key={account.account} className="card">
          <h3>{account.account}</h3>
          {account.telephones.length === 0 && <p className="quiet small">{t.admin.no_telephone}</p>}
          <ul>
            {account.telephones.map((telephone) => (
              <li key={telephone.contact} className="small">
                <code>{telephone.contact}</code> {telephone.user_agent} · {telephone.transport.toUpperCase()} ·{" "}
                {fill(t.admin.expires, { n: duration(telephone.expires_in_s) })}
              </li>
            ))}
          </ul>
        </div>
      ))}
    </section>
  );
}
