import type { Schema } from "../../client/http";
import { useFormats } from "../../format";
import { fill, useTexts } from "../../language";
import { Icon } from "../../parts/icon";
import { heardOf } from "./heard";

type Stages = Schema["Stages"];

/** The stages of the API with the colour of each, in the order in which they pass. */
const STAGES = [
  ["vad_ms", "vad"],
  ["end_of_turn_ms", "end"],
  ["stt_ms", "stt"],
  ["llm_first_token_ms", "llm"],
  ["tts_first_sample_ms", "tts"],
  ["packet_out_ms", "out"],
] as const satisfies readonly (readonly [keyof Stages, string])[];

export function Turn({ turn, isNow, onPlay }: { turn: Schema["Turn"]; isNow: boolean; onPlay?: (ms: number) => void }) {
  const t = useTexts();
  const { clock } = useFormats();
  const { heard_from: heardFrom, said_from: saidFrom } = turn.recording_at_ms;
  const spoken = turn.language ?? undefined;
  const [reached, lost] = heardOf(turn);
  return (
    <li className={isNow ? "turn now" : "turn"} aria-current={isNow || undefined}>
      <time dateTime={turn.at} className="quiet small">
        {clock(turn.at)}
      </time>
      {turn.heard && (
        <div className="speech caller">
          <Speaker name={t.call.heard} at={heardFrom} onPlay={onPlay}>
            {turn.confidence != null && fill(t.call.sure, { n: Math.round(turn.confidence * 100) })}
          </Speaker>
          <p lang={spoken}>{turn.heard}</p>
        </div>
      )}
      {turn.said && (
        <div className="speech milo">
          <Speaker name={turn.said_by ?? t.call.said} at={saidFrom} onPlay={onPlay} />
          {/* What was cut off is struck through: the caller never heard it. */}
          <p lang={spoken}>
            {reached}
            {lost && <s>{lost}</s>}
            {turn.interrupted && <span className="badge warm cut">{t.call.interrupted}</span>}
          </p>
        </div>
      )}
      <Latency stages={turn.stages} />
    </li>
  );
}

function Speaker({
  name,
  at,
  onPlay,
  children,
}: {
  name: string;
  at: number | null | undefined;
  onPlay?: (ms: number) => void;
  children?: React.ReactNode;
}) {
  const t = useTexts();
  return (
    <p className="speaker">
      <strong>{name}</strong> {children && <span>{children}</span>}
      {onPlay && at != null && (
        <button
          type="button"
          className="button plain small only"
          aria-label={`${t.call.from_here}: ${name}`}
          title={t.call.from_here}
          onClick={() => onPlay(at)}
        >
          <Icon name="play" />
        </button>
      )}
    </p>
  );
}

/** From the end of what was said to the first packet of the reply: a bar, and its figures. */
function Latency({ stages }: { stages: Stages }) {
  const t = useTexts();
  const { span } = useFormats();
  const known = STAGES.flatMap(([field, name]) => (stages[field] == null ? [] : [[name, stages[field]] as const]));
  if (!known.length) return null;
  const names = { vad: t.call.vad, end: t.call.end, stt: t.call.stt, llm: t.call.llm, tts: t.call.tts, out: t.call.out };
  return (
    <div className="latency">
      <div className="stages" aria-hidden="true">
        {known.map(([name, ms]) => (
          <span
            key={name}
            className={`stage ${name}`}
            title={`${names[name]}: ${span(ms)}`}
            style={{ flexGrow: Math.max(ms, 0) }}
          />
        ))}
      </div>
      <ul className="legend" aria-label={t.call.latency}>
        {known.map(([name, ms]) => (
          <li key={name}>
            <span className={`stage ${name}`} aria-hidden="true" />
            {names[name]} <b>{span(ms)}</b>
          </li>
        ))}
        {stages.total_ms != null && (
          <li className="total">
            {t.call.total} <b>{span(stages.total_ms)}</b>
          </li>
        )}
      </ul>
    </div>
  );
}
