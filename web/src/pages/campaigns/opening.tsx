import { useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { DAYS, WORKDAY, type Day, type Hours } from "./order";
import type { Part } from "./new";

/** When it may call. */
export function Opening({ draft, set }: Part) {
  const t = useTexts();
  const change = (at: number, change: Partial<Hours>) =>
    set({ hours: draft.hours.map((hours, n) => (n === at ? { ...hours, ...change } : hours)) });
  return (
    <fieldset className="stack tight">
      <legend>{t.campaigns.hours}</legend>
      {draft.hours.length === 0 && <p className="quiet small">{t.campaigns.any_time}</p>}
      {draft.hours.map((hours, at) => (
        // They have no name of their own, and none of them keeps anything besides.
        <div key={at} className="row" role="group" aria-label={t.campaigns.hours}>
          <DayOf label={t.campaigns.first_day} value={hours.first} onChange={(first) => change(at, { first })} />
          <DayOf label={t.campaigns.last_day} value={hours.last} onChange={(last) => change(at, { last })} />
          <label>
            {t.campaigns.from}
            <input type="time" required value={hours.from} onChange={(event) => change(at, { from: event.target.value })} />
          </label>
          <label>
            {t.campaigns.to}
            <input type="time" required value={hours.to} onChange={(event) => change(at, { to: event.target.value })} />
          </label>
          <button
            type="button"
            className="button only"
            aria-label={t.campaigns.remove_hours}
            onClick={() => set({ hours: draft.hours.filter((_, n) => n !== at) })}
          >
            <Icon name="close" />
          </button>
        </div>
      ))}
      <div className="row">
        <button type="button" className="button" onClick={() => set({ hours: [...draft.hours, WORKDAY] })}>
          <Icon name="plus" />
          {t.campaigns.add_hours}
        </button>
        <label className="grow">
          {t.campaigns.zone}
          <input value={draft.zone} onChange={(event) => set({ zone: event.target.value })} />
        </label>
        <label className="grow">
          {t.campaigns.holidays}
          <input
            placeholder="06-26, 2027-03-29"
            value={draft.holidays}
            onChange={(event) => set({ holidays: event.target.value })}
          />
        </label>
      </div>
    </fieldset>
  );
}

function DayOf({ label, value, onChange }: { label: string; value: Day; onChange: (day: Day) => void }) {
  const days = useDays();
  return (
    <label>
      {label}
      <select value={value} onChange={(event) => onChange(event.target.value as Day)}>
        {DAYS.map((day) => (
          <option key={day} value={day}>
            {days[day]}
          </option>
        ))}
      </select>
    </label>
  );
}

export function useDays(): Record<Day, string> {
  const t = useTexts();
  return {
    mon: t.campaigns.mon,
    tue: t.campaigns.tue,
    wed: t.campaigns.wed,
    thu: t.campaigns.thu,
    fri: t.campaigns.fri,
    sat: t.campaigns.sat,
    sun: t.campaigns.sun,
  };
}
