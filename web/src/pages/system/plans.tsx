import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";
import { api, data, type Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Loading } from "../../parts/loading";
import { Notice } from "../../parts/notice";

type Plan = Schema["Plan"] & { number: string[]; from: string[]; trunk: string[]; language: string };

export default function Plans() {
  const t = useTexts();
  const { when } = useFormats();
  const queries = useQueryClient();
  const plans = useQuery({
    queryKey: ["dialplans"],
    queryFn: async () => data(api.GET("/api/v1/dialplans")),
    refetchInterval: false,
  });
  const reload = useMutation({
    mutationFn: async () => data(api.POST("/api/v1/dialplans/reload")),
    onSettled: () => queries.invalidateQueries({ queryKey: ["dialplans"] }),
  });
  if (plans.isPending) return <Loading />;
  if (plans.isError) return <Fault error={plans.error} scope="read" />;
  const { folder, edition, since, faults } = plans.data;
  return (
    <>
      <div className="row middle">
        <p className="quiet grow">
          {fill(t.admin.plans_hint, { folder })} {fill(t.admin.edition, { n: edition, when: when(since) })}
        </p>
        <button type="button" className="button" disabled={reload.isPending} onClick={() => reload.mutate()}>
          <Icon name="refresh" />
          {t.admin.check}
        </button>
      </div>
      <p role="status" className={reload.isSuccess ? "is-good" : "unseen"}>
        {reload.isSuccess ? t.admin.checked : ""}
      </p>
      {reload.isError && <Fault error={reload.error} scope="admin" />}
      {faults.length > 0 && (
        <Notice kind="bad" title={t.admin.faults}>
          <ul lang="en">
            {faults.map((fault) => (
              <li key={`${fault.file} ${fault.line} ${fault.fault}`}>
                <code>
                  {fault.file}
                  {fault.line ? `:${fault.line}` : ""}
                </code>{" "}
                {fault.fault}
              </li>
            ))}
          </ul>
        </Notice>
      )}
      <Try />
      <ul className="stack tight">
        {(plans.data.plans as Plan[]).map((plan) => (
          <One key={plan.name} plan={plan} />
        ))}
      </ul>
    </>
  );
}

function One({ plan }: { plan: Plan }) {
  const t = useTexts();
  return (
    <li className="card stack tight">
      <div className="row middle">
        <h2 className="grow">{plan.name}</h2>
        {plan.number.length ? (
          plan.number.map((number) => (
            <code key={number} className="badge">
              {number}
            </code>
          ))
        ) : (
          <span className="quiet small">{t.admin.only_goto}</span>
        )}
      </div>
      <ol className="verbs" aria-label={t.admin.verbs}>
        {plan.verbs.map((verb, index) => (
          <li key={index}>
            <code>{verb}</code>
          </li>
        ))}
      </ol>
      <p className="quiet small">
        <code>
          {plan.file}:{plan.line}
        </code>{" "}
        · {plan.language === "fr" ? t.common.fr : t.common.mg}
      </p>
    </li>
  );
}

/** Which plan a call would get, and why the others do not: nobody is called. */
function Try() {
  const t = useTexts();
  const [to, setTo] = useState("");
  const [from, setFrom] = useState("");
  const [trunk, setTrunk] = useState("");
  const [at, setAt] = useState("");
  const find = useMutation({
    mutationFn: async () =>
      data(
        api.POST("/api/v1/dialplans/test", {
          body: { to, ...(from && { from }), ...(trunk && { trunk }), ...(at && { at: new Date(at).toISOString() }) },
        }),
      ),
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    find.mutate();
  };
  const chosen = find.data;
  return (
    <section className="card stack" aria-labelledby="try">
      <h2 id="try">{t.admin.try}</h2>
      <form className="row" onSubmit={send}>
        <label className="grow">
          {t.admin.try_to}
          <input required value={to} placeholder="milo" onChange={(event) => setTo(event.target.value)} />
        </label>
        <label className="grow">
          {t.admin.try_from}
          <input value={from} onChange={(event) => setFrom(event.target.value)} />
        </label>
        <label className="grow">
          {t.admin.try_trunk}
          <input value={trunk} onChange={(event) => setTrunk(event.target.value)} />
        </label>
        <label className="grow">
          {t.admin.try_at}
          <input type="datetime-local" value={at} onChange={(event) => setAt(event.target.value)} />
        </label>
        <button type="submit" className="button main" disabled={find.isPending}>
          {t.admin.try_go}
        </button>
      </form>
      {find.isError && <Fault error={find.error} scope="read" />}
      {chosen && (
        <div role="status" className="stack tight">
          <p className={chosen.plan ? "verdict is-good" : "verdict is-bad"}>
            {chosen.plan ? fill(t.admin.chosen, { plan: chosen.plan }) : t.admin.no_plan}
          </p>
          <details>
            <summary>{t.admin.why_not}</summary>
            <ul className="why" lang="en">
              {chosen.plans
                .filter((plan) => !plan.runs)
                .map((plan) => (
                  <li key={plan.plan}>
                    <b>{plan.plan}</b> <span className="quiet">{plan.why}</span>
                  </li>
                ))}
            </ul>
          </details>
        </div>
      )}
    </section>
  );
}
