// The form with which a campaign begins.
import { useMutation, useQuery } from "@tanstack/react-query";
import { useId, useMemo, useState, type FormEvent } from "react";
import { api, ask, data, type Schema } from "../../client/http";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { blank, newKey, order, type Draft } from "./order";
import { Opening } from "./opening";
import { Retries } from "./retries";

export function NewCampaign({ onAdded, onClose }: { onAdded: (id: string) => void; onClose: () => void }) {
  const t = useTexts();
  const id = useId();
  const [draft, setDraft] = useState(blank);
  const [list, setList] = useState<File | null>(null);
  // What was changed is another order; what is sent again because no answer came is the same.
  const key = useMemo(newKey, [draft, list]);
  const set = (change: Partial<Draft>) => setDraft((before) => ({ ...before, ...change }));
  const add = useMutation({
    mutationFn: async () => {
      const form = new FormData();
      form.append("campaign", JSON.stringify(order(draft)));
      if (list) form.append("list", list, list.name);
      const answer = await ask("/api/v1/campaigns", { method: "POST", headers: { "idempotency-key": key }, body: form });
      return (await answer.json()) as Schema["CampaignAdded"];
    },
    onSuccess: ({ id }) => onAdded(id),
  });
  const send = (event: FormEvent) => {
    event.preventDefault();
    add.mutate();
  };
  return (
    <section className="card stack" aria-labelledby="new-campaign">
      <div className="row middle">
        <h2 id="new-campaign" className="grow">
          {t.campaigns.add}
        </h2>
        <button type="button" className="button plain" onClick={onClose}>
          <Icon name="close" />
          {t.common.close}
        </button>
      </div>
      <form className="stack" onSubmit={send}>
        <div className="row spaced">
          <label className="grow">
            {t.campaigns.name}
            <input required maxLength={200} value={draft.name} onChange={(event) => set({ name: event.target.value })} />
          </label>
          <label className="grow" htmlFor={`${id}list`}>
            {t.campaigns.list}
            <input
              id={`${id}list`}
              type="file"
              required
              accept=".csv,text/csv"
              aria-describedby={`${id}list-hint`}
              onChange={(event) => setList(event.target.files?.[0] ?? null)}
            />
            <span id={`${id}list-hint`} className="hint">
              {t.campaigns.list_hint}
            </span>
          </label>
        </div>
        <Call draft={draft} set={set} />
        <Pace draft={draft} set={set} />
        <Opening draft={draft} set={set} />
        <Retries draft={draft} set={set} />
        <div className="row middle">
          <label className="check">
            <input type="checkbox" checked={draft.paused} onChange={(event) => set({ paused: event.target.checked })} />
            {t.campaigns.begin_paused}
          </label>
          <button type="submit" className="button main" disabled={add.isPending}>
            <Icon name="outgoing" />
            {add.isPending ? t.campaigns.adding : t.campaigns.begin}
          </button>
        </div>
      </form>
      {add.isError && <Fault error={add.error} scope="calls" />}
    </section>
  );
}

export interface Part {
  draft: Draft;
  set: (change: Partial<Draft>) => void;
}

/** Whom the called see, and what happens when they answer. */
function Call({ draft, set }: Part) {
  const t = useTexts();
  const plans = useQuery({
    queryKey: ["dialplans"],
    queryFn: async () => data(api.GET("/api/v1/dialplans")),
    refetchInterval: false,
  });
  const trunks = useQuery({
    queryKey: ["trunks"],
    queryFn: async () => (await data(api.GET("/api/v1/trunks"))).trunks,
    refetchInterval: false,
  });
  return (
    <div className="filter-grid">
      <label>
        {t.calls.plan}
        <select value={draft.plan} onChange={(event) => set({ plan: event.target.value })}>
          <option value="">{t.campaigns.usual_plan}</option>
          {plans.data?.plans.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        {t.admin.try_trunk}
        <select value={draft.trunk} onChange={(event) => set({ trunk: event.target.value })}>
          <option value="">{t.campaigns.only_trunk}</option>
          {(trunks.data as { name?: string }[] | undefined)?.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </select>
      </label>
      <label>
        {t.campaigns.caller_id}
        <input
          placeholder={t.campaigns.as_trunk}
          value={draft.caller_id}
          disabled={draft.privacy}
          onChange={(event) => set({ caller_id: event.target.value })}
        />
      </label>
      <label className="check">
        <input type="checkbox" checked={draft.privacy} onChange={(event) => set({ privacy: event.target.checked })} />
        {t.campaigns.privacy}
      </label>
    </div>
  );
}

/** How many at once, and how patiently. */
function Pace({ draft, set }: Part) {
  const t = useTexts();
  return (
    <div className="filter-grid">
      <label>
        {t.campaigns.at_once}
        <input
          type="number"
          required
          min={1}
          max={10_000}
          value={draft.at_once}
          onChange={(event) => set({ at_once: event.target.value })}
        />
      </label>
      <label>
        {t.campaigns.leave}
        <input
          type="number"
          min={0}
          placeholder={t.campaigns.leave_usual}
          value={draft.leave}
          onChange={(event) => set({ leave: event.target.value })}
        />
      </label>
      <label>
        {t.campaigns.ring}
        <input
          type="number"
          required
          min={1}
          max={180}
          value={draft.ring_timeout_s}
          onChange={(event) => set({ ring_timeout_s: event.target.value })}
        />
      </label>
    </div>
  );
}
