import type { Schema } from "../../client/http";
import { useTexts } from "../../language";
import { inWords } from "./in-words";

export function Events({ events, started }: { events: Schema["Event"][]; started: string }) {
  const t = useTexts();
  return (
    <section className="stack" aria-labelledby="events">
      <h2 id="events">{t.call.events}</h2>
      {events.length ? (
        <ol className="events">
          {events.map((event) => (
            <li key={event.number}>
              <time dateTime={event.at} className="figure quiet">
                {((Date.parse(event.at) - Date.parse(started)) / 1000).toFixed(1)} s
              </time>
              <code>{event.kind}</code>
              <span className="quiet small" lang="en">
                {inWords(event.detail)}
              </span>
            </li>
          ))}
        </ol>
      ) : (
        <p className="quiet">{t.call.no_events}</p>
      )}
    </section>
  );
}
