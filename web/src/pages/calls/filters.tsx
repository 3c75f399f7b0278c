import { useEffect, useId, useRef, useState } from "react";
import { useQuery } from "@tanstack/react-query";
import { api, data } from "../../client/http";
import { useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { FIELDS, OUTCOMES, type Filter } from "./query";

export function Filters({ filter, onChange }: { filter: Filter; onChange: (filter: Record<string, string>) => void }) {
  const t = useTexts();
  const id = useId();
  const set = (name: keyof Filter, value: string) =>
    onChange(
      Object.fromEntries(
        FIELDS.flatMap((field) => {
          const kept = field === name ? value : filter[field];
          return kept ? [[field, kept]] : [];
        }),
      ),
    );
  const plans =
    useQuery({
      queryKey: ["dialplans"],
      queryFn: async () => data(api.GET("/api/v1/dialplans")),
      refetchInterval: false,
    }).data?.plans ?? [];
  const outcomes = {
    answered: t.calls.answered,
    missed: t.calls.missed,
    busy: t.calls.busy,
    "no answer": t.calls.no_answer,
    refused: t.calls.refused,
    failed: t.calls.failed,
    cancelled: t.calls.cancelled,
  };
  const more = FIELDS.filter((field) => field !== "text" && filter[field]).length;
  return (
    <div className="filters">
      <label className="search" htmlFor={`${id}text`}>
        <span className="unseen">{t.calls.search}</span>
        <Icon name="search" />
        <Typed
          id={`${id}text`}
          type="search"
          placeholder={t.calls.search}
          value={filter.text ?? ""}
          onChange={(value) => set("text", value)}
        />
      </label>
      <details open={more > 0 || undefined}>
        <summary className="button">
          {t.calls.filters}
          {more > 0 && <span className="badge">{more}</span>}
        </summary>
        <div className="filter-grid">
          <label htmlFor={`${id}number`}>
            {t.calls.number}
            <Typed
              id={`${id}number`}
              type="text"
              value={filter.number ?? ""}
              hint={t.calls.number_hint}
              onChange={(value) => set("number", value)}
            />
          </label>
          <label>
            {t.calls.since}
            <input type="date" value={filter.since ?? ""} onChange={(event) => set("since", event.target.value)} />
          </label>
          <label>
            {t.calls.until}
            <input type="date" value={filter.until ?? ""} onChange={(event) => set("until", event.target.value)} />
          </label>
          <label>
            {t.calls.outcome}
            <select value={filter.outcome ?? ""} onChange={(event) => set("outcome", event.target.value)}>
              <option value="">{t.calls.any}</option>
              {OUTCOMES.map((outcome) => (
                <option key={outcome} value={outcome}>
                  {outcomes[outcome]}
                </option>
              ))}
            </select>
          </label>
          <label>
            {t.calls.direction}
            <select value={filter.direction ?? ""} onChange={(event) => set("direction", event.target.value)}>
              <option value="">{t.calls.any}</option>
              <option value="in">{t.calls.in}</option>
              <option value="out">{t.calls.out}</option>
            </select>
          </label>
          <label>
            {t.calls.plan}
            <select value={filter.dialplan ?? ""} onChange={(event) => set("dialplan", event.target.value)}>
              <option value="">{t.calls.any}</option>
              {[...new Set([...plans.map((plan) => plan.name), ...(filter.dialplan ? [filter.dialplan] : [])])].map((name) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </label>
          <button type="button" className="button plain" disabled={!Object.keys(filter).length} onClick={() => onChange({})}>
            <Icon name="close" />
            {t.calls.clear}
          </button>
        </div>
      </details>
    </div>
  );
}

const PAUSE = 350;

/** A field whose words are looked for when the typing pauses. */
function Typed({
  id,
  type,
  value,
  placeholder,
  hint,
  onChange,
}: {
  id: string;
  type: "search" | "text";
  value: string;
  placeholder?: string;
  hint?: string;
  onChange: (value: string) => void;
}) {
  const [typed, setTyped] = useState(value);
  const send = useRef(onChange);
  send.current = onChange;
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    if (typed.trim() === value) return;
    const timer = setTimeout(() => send.current(typed.trim()), PAUSE);
    return () => clearTimeout(timer);
  }, [typed, value]);
  return (
    <>
      <input
        id={id}
        type={type}
        autoComplete="off"
        spellCheck={false}
        value={typed}
        placeholder={placeholder}
        aria-describedby={hint && `${id}hint`}
        onChange={(event) => setTyped(event.target.value)}
      />
      {hint && (
        <span id={`${id}hint`} className="hint">
          {hint}
        </span>
      )}
    </>
  );
}
