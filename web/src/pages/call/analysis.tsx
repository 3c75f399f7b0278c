import type { Schema } from "../../client/http";
import { useTexts } from "../../language";
import { inWords } from "./in-words";

/** What the model has written down of a call that is over. */
export function Analysis({ analysis }: { analysis: Schema["Analysis"] }) {
  const t = useTexts();
  const { summary, outcome, sentiment, tags, fields, failed } = analysis;
  const moods: Record<string, [string, string]> = {
    positive: [t.call.positive, "good"],
    neutral: [t.call.neutral, ""],
    negative: [t.call.negative, "bad"],
  };
  const mood = sentiment ? moods[sentiment] : undefined;
  return (
    <section className="card stack" aria-labelledby="analysis">
      <h2 id="analysis">{t.call.analysis}</h2>
      {failed && (
        <p>
          {t.call.not_analysed}{" "}
          <span lang="en" className="quiet small">
            ({failed})
          </span>
        </p>
      )}
      {summary && <p>{summary}</p>}
      <dl className="facts">
        {outcome && (
          <div>
            <dt>{t.call.came_of_it}</dt>
            <dd>{outcome}</dd>
          </div>
        )}
        {mood && (
          <div>
            <dt>{t.call.mood}</dt>
            <dd>
              <span className={`badge ${mood[1]}`}>{mood[0]}</span>
            </dd>
          </div>
        )}
        {tags.length > 0 && (
          <div>
            <dt>{t.call.tags}</dt>
            <dd className="row">
              {tags.map((tag) => (
                <span key={tag} className="badge">
                  {tag}
                </span>
              ))}
            </dd>
          </div>
        )}
        {Object.entries(fields).map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{inWords(value) || "–"}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
