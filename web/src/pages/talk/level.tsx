import { useEffect, useRef } from "react";
import type { Conversation } from "../../client/conversation";

const BARS = 48;

/** What is heard and what is said, around the button, as it sounds. */
export function Level({ conversation }: { conversation: Conversation | null }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const surface = canvas.current;
    const context = surface?.getContext("2d");
    if (!surface || !context || !conversation) return;
    const { heard, said } = conversation.sources;
    const meters = [heard, said].map((node) => {
      const analyser = conversation.context.createAnalyser();
      analyser.fftSize = 256;
      node.connect(analyser);
      return analyser;
    });
    const levels = meters.map((meter) => new Uint8Array(meter.frequencyBinCount));
    let frame = requestAnimationFrame(function draw() {
      meters.forEach((meter, index) => meter.getByteFrequencyData(levels[index] as Uint8Array<ArrayBuffer>));
      paint(surface, context, levels);
      frame = requestAnimationFrame(draw);
    });
    return () => {
      cancelAnimationFrame(frame);
      for (const meter of meters) meter.disconnect();
      context.clearRect(0, 0, surface.width, surface.height);
    };
  }, [conversation]);
  return <canvas ref={canvas} className="level" width="480" height="480" aria-hidden="true" />;
}

function paint(surface: HTMLCanvasElement, context: CanvasRenderingContext2D, [heard, said]: Uint8Array[]): void {
  const style = getComputedStyle(surface);
  const middle = surface.width / 2;
  context.clearRect(0, 0, surface.width, surface.height);
  context.lineWidth = 5;
  context.lineCap = "round";
  for (let bar = 0; bar < BARS; bar++) {
    // Mirrored, so that the ring closes.
    const bin = 2 + Math.abs(bar - BARS / 2);
    const [mine, milos] = [(heard?.[bin] ?? 0) / 255, (said?.[bin] ?? 0) / 255];
    const angle = (bar / BARS) * 2 * Math.PI + Math.PI / 2;
    const [from, to] = [middle * 0.72, middle * (0.73 + 0.26 * Math.max(mine, milos))];
    context.strokeStyle = style.getPropertyValue(milos > mine ? "--accent" : "--good");
    context.beginPath();
    context.moveTo(middle + Math.cos(angle) * from, middle + Math.sin(angle) * from);
    context.lineTo(middle + Math.cos(angle) * to, middle + Math.sin(angle) * to);
    context.stroke();
  }
}
