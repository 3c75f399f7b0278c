import type { Conversation } from "../../client/conversation";
import { useTexts } from "../../language";

/** Quietly, by which way it goes, and why not by the better one. */
export function Way({ conversation: { way, instead } }: { conversation: Conversation }) {
  const t = useTexts();
  const why =
    instead &&
    { unsupported: t.talk.no_webrtc, off: t.talk.webrtc_off, refused: t.talk.webrtc_refused, blocked: t.talk.webrtc_blocked }[
      instead
    ];
  return (
    <p className="quiet small way">
      {way === "webrtc" ? t.talk.by_webrtc : t.talk.by_websocket}
      {why && ` ${why}`}
    </p>
  );
}
