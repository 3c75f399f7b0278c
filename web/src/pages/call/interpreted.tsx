// What one party of a call has said to the other through an interpreter.
import type { Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";

/** What such an event says. */
interface Utterance {
  who: "caller" | "called";
  from: string;
  to: string;
  said: string | null;
  translated: string | null;
  heard_confidence: number | null;
}

/** Whether an event is something that was said so, told to the other or not. */
export const isUtterance = ({ kind }: Schema["Event"]): boolean => kind === "interpreted" || kind === "not_interpreted";

export function Interpreted({ event }: { event: Schema["Event"] }) {
  const t = useTexts();
  const { clock } = useFormats();
  const { who, from, to, said, translated, heard_confidence: sure } = event.detail as unknown as Utterance;
  const isTold = event.kind === "interpreted";
  return (
    <li className="turn">
      <time dateTime={event.at} className="quiet small">
        {clock(event.at)}
      </time>
      <div className="speech caller">
        <p className="speaker">
          <strong>{who === "caller" ? t.call.heard : t.call.called}</strong>{" "}
          {sure != null && <span>{fill(t.call.sure, { n: Math.round(sure * 100) })}</span>}
        </p>
        {said && <p lang={from}>{said}</p>}
        {!isTold && <span className="badge warm">{t.call.not_interpreted}</span>}
      </div>
      {isTold && translated && (
        <div className="speech milo">
          <p className="speaker">
            <strong>{t.call.interpreted}</strong>
          </p>
          <p lang={to}>{translated}</p>
        </div>
      )}
    </li>
  );
}
