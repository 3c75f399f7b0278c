import { Ended } from "../../client/line";
import { NoMicrophone } from "../../client/microphone";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Notice } from "../../parts/notice";
import { OwnWords } from "../../parts/own-words";

/** What went wrong with a conversation, and what to do about it. */
export function Trouble({ error }: { error: unknown }) {
  const t = useTexts();
  if (error === null) return null;
  if (error instanceof NoMicrophone) {
    const [title, hint] = {
      denied: [t.talk.microphone, t.talk.microphone_hint],
      device: [t.talk.device, t.talk.device_hint],
      insecure: [t.talk.insecure, t.talk.insecure_hint],
    }[error.why] as [string, string];
    return (
      <Notice kind="bad" title={title}>
        <p>{hint}</p>
      </Notice>
    );
  }
  if (error instanceof Ended) {
    const [title, hint] = {
      full: [t.talk.full, t.talk.full_hint],
      lost: [t.talk.lost, t.talk.lost_hint],
      refused: [t.fault.refused, ""],
    }[error.why] as [string, string];
    return (
      <Notice kind="bad" title={title}>
        {hint && <p>{hint}</p>}
        {error.why !== "full" && <OwnWords code={error.code} detail={error.detail} />}
      </Notice>
    );
  }
  return <Fault error={error} scope="text" />;
}
