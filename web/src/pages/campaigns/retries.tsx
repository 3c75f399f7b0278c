import { fill, useTexts } from "../../language";
import { RETRIED, type Again } from "./order";
import { useCameOf } from "./words";
import type { Part } from "./new";

/** Who is called again, by what came of the call. */
export function Retries({ draft, set }: Part) {
  const t = useTexts();
  const cameOf = useCameOf();
  const change = (outcome: (typeof RETRIED)[number], change: Partial<Again>) =>
    set({ retries: { ...draft.retries, [outcome]: { ...draft.retries[outcome], ...change } } });
  return (
    <details>
      <summary className="button">{t.campaigns.retries}</summary>
      <p className="quiet small">{t.campaigns.retries_hint}</p>
      <div className="table" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th scope="col">{t.calls.outcome}</th>
              <th scope="col">{t.campaigns.times}</th>
              <th scope="col">{t.campaigns.after_minutes}</th>
            </tr>
          </thead>
          <tbody>
            {RETRIED.map((outcome) => {
              const [name] = cameOf(outcome);
              const { times, minutes } = draft.retries[outcome];
              return (
                <tr key={outcome}>
                  <th scope="row">{name}</th>
                  <td>
                    <input
                      type="number"
                      min={0}
                      max={20}
                      aria-label={fill(t.campaigns.times_of, { outcome: name })}
                      value={times}
                      onChange={(event) => change(outcome, { times: event.target.value })}
                    />
                  </td>
                  <td>
                    <input
                      type="number"
                      required={!!Number(times)}
                      min={1}
                      max={43_200}
                      aria-label={fill(t.campaigns.minutes_of, { outcome: name })}
                      value={minutes}
                      onChange={(event) => change(outcome, { minutes: event.target.value })}
                    />
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </details>
  );
}
