import { fill, useTexts } from "../../language";
import { useFormats } from "../../format";

/** A leg's figures, as the API writes them. */
export interface Leg {
  leg: string;
  codec: string;
  mos: number | null;
  loss_percent: number;
  jitter_ms: number;
  round_trip_ms: number | null;
  level_dbfs: number | null;
  concealed_percent: number;
  one_way: string | null;
}

const GOOD = 4;
const FAIR = 3.6;

export function Quality({ legs }: { legs: Leg[] }) {
  const t = useTexts();
  const { number } = useFormats();
  if (!legs.length) return null;
  return (
    <section className="stack" aria-labelledby="quality">
      <h2 id="quality">{t.call.quality}</h2>
      {legs.map((leg) => (
        <div key={leg.leg} className="stack tight">
          {legs.length > 1 && <h3>{leg.leg}</h3>}
          {leg.one_way && <p className="badge bad">{fill(t.call.one_way, { way: leg.one_way })}</p>}
          <dl className="figures">
            {leg.mos != null && (
              <div>
                <dt>{t.call.mos}</dt>
                <dd className={leg.mos >= GOOD ? "is-good" : leg.mos >= FAIR ? "is-fair" : "is-bad"}>{number(leg.mos, 1)}</dd>
              </div>
            )}
            <div>
              <dt>{t.call.codec}</dt>
              <dd>{leg.codec}</dd>
            </div>
            <div>
              <dt>{t.call.loss}</dt>
              <dd>{number(leg.loss_percent, 1)} %</dd>
            </div>
            <div>
              <dt>{t.call.concealed}</dt>
              <dd>{number(leg.concealed_percent, 1)} %</dd>
            </div>
            <div>
              <dt>{t.call.jitter}</dt>
              <dd>{number(leg.jitter_ms)} ms</dd>
            </div>
            {leg.round_trip_ms != null && (
              <div>
                <dt>{t.call.round_trip}</dt>
                <dd>{number(leg.round_trip_ms, 1)} ms</dd>
              </div>
            )}
            {leg.level_dbfs != null && (
              <div>
                <dt>{t.call.level}</dt>
                <dd>{number(leg.level_dbfs)} dBFS</dd>
              </div>
            )}
          </dl>
        </div>
      ))}
    </section>
  );
}
