// The sound of each reply as it was heard, kept for whoever wants to hear it again.
import workletUrl from "../client/capture.worklet.js?url";
import { capture } from "../client/microphone";
import { RATE, wavOf } from "./wav";

const PIECE = 320;
/** Sound that came before word of it is a part of the reply, and so is what comes behind its end, in pieces of 20 ms. */
const BEFORE = 15;
const BEHIND = 25;
/** As much of one reply as is kept. */
const LONGEST = (60 * RATE) / PIECE;
/** What is quieter is no part of a voice, of 32767. */
const QUIET = 300;

const isQuiet = (piece: Int16Array): boolean => piece.every((sample) => Math.abs(sample) < QUIET);

/** What was heard between the beginning of a reply and its end, without the silence around it. */
export class Replies {
  private before: Int16Array[] = [];
  private reply: Int16Array[] | null = null;
  private left = 0;
  private done: ((sound: Blob) => void) | null = null;

  /** Milo begins to speak; a reply that was ending is over. */
  begin(): void {
    if (this.done) this.finish();
    this.reply ??= this.before.splice(0);
  }

  /** It is said; `done` has it in a moment, unless nothing was heard. */
  end(done: (sound: Blob) => void): void {
    if (!this.reply || this.done) return;
    this.done = done;
    this.left = BEHIND;
  }

  hear(piece: Int16Array): void {
    if (!this.reply) {
      this.before = [...this.before.slice(-BEFORE + 1), piece];
      return;
    }
    if (this.reply.length < LONGEST) this.reply.push(piece);
    if (this.done && --this.left <= 0) this.finish();
  }

  private finish(): void {
    const { reply, done } = this;
    this.reply = this.done = null;
    const heard = reply ?? [];
    const first = heard.findIndex((piece) => !isQuiet(piece));
    const last = heard.findLastIndex((piece) => !isQuiet(piece));
    if (first >= 0) done?.(wavOf(heard.slice(Math.max(0, first - 2), last + 3)));
  }
}

/** Listens to what Milo says for as long as there is sound. */
export function follow(said: AudioNode): Replies {
  const replies = new Replies();
  // Without it (an old browser) replies are spoken anew.
  capture(said, workletUrl, (piece) => replies.hear(new Int16Array(piece))).catch(() => undefined);
  return replies;
}
