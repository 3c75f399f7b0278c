import { useEffect, useRef, useState } from "react";

/** One sound of the page at a time, from an answer that is fetched when it is played. */
let now: (() => void) | null = null;

export function usePlayer(): {
  playing: boolean;
  fault: unknown;
  play: (load: () => Promise<Blob>) => Promise<void>;
  stop: () => void;
} {
  const [playing, setPlaying] = useState(false);
  const [fault, setFault] = useState<unknown>(null);
  const ending = useRef<(() => void) | null>(null);
  useEffect(() => () => ending.current?.(), []);
  const play = async (load: () => Promise<Blob>) => {
    now?.();
    setFault(null);
    setPlaying(true);
    const audio = new Audio();
    let address = "";
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      audio.pause();
      if (address) URL.revokeObjectURL(address);
      if (now === end) now = null;
      setPlaying(false);
    };
    now = ending.current = end;
    audio.onended = end;
    try {
      const sound = await load();
      if (isOver) return;
      address = URL.createObjectURL(sound);
      audio.src = address;
      await audio.play();
    } catch (error) {
      end();
      setFault(error);
    }
  };
  return { playing, fault, play, stop: () => ending.current?.() };
}
