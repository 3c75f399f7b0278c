// The sound of a call: the caller above, Milo below, with what was said marked where it was said.
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { ask, type Schema } from "../../client/http";
import { duration } from "../../format";
import { useTexts } from "../../language";
import { Fault } from "../../parts/fault";
import { Icon } from "../../parts/icon";
import { Loading } from "../../parts/loading";
import { saveResponse } from "../../parts/save";
import { peaks } from "../../sound/peaks";
import { Waveform } from "../../parts/waveform";

const PEAKS = 600;

async function load(id: string) {
  const answer = await ask(`/api/v1/calls/${id}/recording`);
  const file = await answer.blob();
  // Decoded at a low rate: it is only looked at, and an hour of it shall fit.
  const sound = await new OfflineAudioContext(2, 1, 8000).decodeAudioData(await file.arrayBuffer());
  const channels = Array.from({ length: Math.min(sound.numberOfChannels, 2) }, (_, index) =>
    peaks(sound.getChannelData(index), PEAKS),
  );
  return { url: URL.createObjectURL(file), channels, seconds: sound.duration };
}

interface Timing {
  /** Where to play from, whenever that is asked anew. */
  at: { ms: number; asked: number } | null;
  /** Where turns begin, in milliseconds. */
  marks: number[];
  /** Hears where the playing is; nothing, when it pauses. */
  onTime: (ms: number | null) => void;
}

export function Recording({ call, ...timing }: { call: Schema["CallWithTurns"] } & Timing) {
  const { at } = timing;
  const t = useTexts();
  const isLive = !call.ended || call.recording_state === "live";
  const isThere = !isLive && call.recording_state !== "deleted";
  const [wanted, setWanted] = useState(false);
  const [fault, setFault] = useState<unknown>(null);
  const sound = useQuery({
    queryKey: ["recording", call.id],
    queryFn: () => load(call.id),
    enabled: isThere && (wanted || at !== null),
    refetchInterval: false,
    staleTime: Infinity,
    retry: false,
  });
  const save = async () => {
    try {
      await saveResponse(
        await ask(`/api/v1/calls/${call.id}/recording`),
        (call.recording ?? call.id).split("/").at(-1) ?? call.id,
      );
    } catch (error) {
      setFault(error);
    }
  };
  return (
    <section className="card stack" aria-labelledby="recording">
      <div className="row middle">
        <h2 id="recording" className="grow">
          {t.call.recording}
        </h2>
        {isThere && !sound.data && !sound.isFetching && (
          <button type="button" className="button" onClick={() => setWanted(true)}>
            <Icon name="play" />
            {t.call.load}
          </button>
        )}
        {isThere && (
          <button type="button" className="button" onClick={() => void save()}>
            <Icon name="download" />
            {t.common.download}
          </button>
        )}
      </div>
      {isLive && <p className="quiet">{t.call.recording_live}</p>}
      {call.recording_state === "deleted" && <p className="quiet">{t.call.recording_deleted}</p>}
      {sound.isFetching && <Loading />}
      {sound.isError && <Fault error={sound.error} scope="read" />}
      {fault !== null && <Fault error={fault} scope="read" />}
      {sound.data && <Player {...sound.data} {...timing} />}
    </section>
  );
}

function Player({ url, channels, seconds, at, marks, onTime }: Awaited<ReturnType<typeof load>> & Timing) {
  const t = useTexts();
  const audio = useRef<HTMLAudioElement>(null);
  const [position, setPosition] = useState(0);
  const [playing, setPlaying] = useState(false);
  const seek = (to: number) => {
    if (audio.current) audio.current.currentTime = to;
    setPosition(to);
  };
  useEffect(() => {
    if (!at || !audio.current) return;
    audio.current.currentTime = at.ms / 1000;
    void audio.current.play().catch(() => undefined);
  }, [at]);
  useEffect(() => {
    if (!playing) return;
    let frame = requestAnimationFrame(function tick() {
      setPosition(audio.current?.currentTime ?? 0);
      frame = requestAnimationFrame(tick);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing]);
  return (
    <div className="player">
      <audio
        ref={audio}
        src={url}
        preload="auto"
        onPlay={() => setPlaying(true)}
        onPause={() => {
          setPlaying(false);
          onTime(null);
        }}
        onTimeUpdate={(event) => {
          if (!event.currentTarget.paused) onTime(event.currentTarget.currentTime * 1000);
        }}
      />
      <button
        type="button"
        className="button main only round"
        aria-label={playing ? t.common.pause : t.common.play}
        onClick={() => {
          if (playing) audio.current?.pause();
          else void audio.current?.play().catch(() => undefined);
        }}
      >
        <Icon name={playing ? "pause" : "play"} />
      </button>
      <div className="player-wave">
        <div className="sides small quiet" aria-hidden="true">
          <span>{t.call.left}</span>
          {channels.length > 1 && <span>{t.call.right}</span>}
        </div>
        <div className="wave-field">
          <Waveform
            channels={channels}
            marks={marks.map((ms) => ms / 1000 / seconds)}
            played={seconds ? position / seconds : 0}
          />
          <input
            type="range"
            className="over"
            aria-label={t.call.position}
            aria-valuetext={duration(position)}
            min={0}
            max={seconds}
            step={0.1}
            value={position}
            onChange={(event) => seek(Number(event.target.value))}
          />
        </div>
      </div>
      <span className="figure small quiet">
        {duration(position)} / {duration(seconds)}
      </span>
    </div>
  );
}
