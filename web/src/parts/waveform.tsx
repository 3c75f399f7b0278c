import { useEffect, useRef } from "react";

/** Bars of loudness, one row a channel; what was played is in the accent's colour. Marks and what was played are shares of the whole. */
export function Waveform({ channels, marks, played }: { channels: number[][]; marks: number[]; played: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const surface = canvas.current;
    if (!surface) return;
    const draw = () => paint(surface, channels, marks, played);
    draw();
    const observer = new ResizeObserver(draw);
    observer.observe(surface);
    return () => observer.disconnect();
  }, [channels, marks, played]);
  return <canvas ref={canvas} className="waveform" aria-hidden="true" />;
}

const BAR = 3;
const GAP = 2;

function paint(surface: HTMLCanvasElement, channels: number[][], marks: number[], played: number): void {
  const scale = devicePixelRatio || 1;
  const [width, height] = [surface.clientWidth, surface.clientHeight];
  if (surface.width !== Math.round(width * scale) || surface.height !== Math.round(height * scale)) {
    surface.width = Math.round(width * scale);
    surface.height = Math.round(height * scale);
  }
  const context = surface.getContext("2d");
  if (!context) return;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(surface);
  const [ahead, behind] = [style.getPropertyValue("--edge"), style.getPropertyValue("--accent")];
  context.fillStyle = style.getPropertyValue("--line");
  for (const mark of marks) context.fillRect(Math.round(mark * width), 0, 1, height);
  const row = height / channels.length;
  const bars = Math.max(1, Math.floor(width / (BAR + GAP)));
  channels.forEach((levels, channel) => {
    for (let bar = 0; bar < bars; bar++) {
      const [from, to] = [Math.floor((bar * levels.length) / bars), Math.max(1, Math.ceil(((bar + 1) * levels.length) / bars))];
      // The square root shows quiet speech too.
      const level = Math.sqrt(Math.max(0, ...levels.slice(from, to)));
      const tall = Math.max(2, level * (row - 6));
      context.fillStyle = bar / bars < played ? behind : ahead;
      context.beginPath();
      context.roundRect(bar * (BAR + GAP), channel * row + (row - tall) / 2, BAR, tall, BAR / 2);
      context.fill();
    }
  });
}
