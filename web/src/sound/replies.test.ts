import { expect, it } from "vitest";
import { Replies } from "./replies";

const piece = (level: number) => new Int16Array(320).fill(level);

it("a reply is kept from before word of it came until behind its end, without the silence around it", async () => {
  const replies = new Replies();
  const kept: Blob[] = [];
  for (let count = 0; count < 40; count++) replies.hear(piece(0));
  // Two pieces were heard before the word came.
  replies.hear(piece(1000));
  replies.hear(piece(1000));
  replies.begin();
  for (let count = 0; count < 10; count++) replies.hear(piece(2000));
  // Another clause of the same reply.
  replies.begin();
  replies.end((sound) => kept.push(sound));
  for (let count = 0; count < 3; count++) replies.hear(piece(3000));
  expect(kept).toHaveLength(0);
  for (let count = 0; count < 40; count++) replies.hear(piece(0));
  expect(kept).toHaveLength(1);
  const samples = new Int16Array(await (kept[0] as Blob).arrayBuffer(), 44);
  const loud = samples.filter((sample) => sample !== 0).length / 320;
  // Two pieces of silence are left on each side.
  expect([loud, samples.length / 320]).toEqual([15, 19]);
  // The next one begins although the one before is not quite over, and silence is none.
  replies.begin();
  replies.hear(piece(500));
  replies.end((sound) => kept.push(sound));
  replies.begin();
  expect(kept).toHaveLength(2);
  replies.end((sound) => kept.push(sound));
  for (let count = 0; count < 40; count++) replies.hear(piece(0));
  expect(kept).toHaveLength(2);
});
