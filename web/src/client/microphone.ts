import workletUrl from "./capture.worklet.js?url";

/** Why there is no microphone. */
export class NoMicrophone extends Error {
  constructor(readonly why: "denied" | "device" | "insecure") {
    super(why);
  }
}

export interface Microphone {
  /** Where its sound may be looked at. */
  source: MediaStreamAudioSourceNode;
  close: () => void;
}

/** Asks for the microphone and hands out what it hears: 20 ms of 16-bit mono at 16 kHz at a time. */
export async function listen(context: AudioContext, heard: (piece: ArrayBuffer) => void): Promise<Microphone> {
  // Browsers hide it from pages that did not come by https (Media Capture and Streams, section 10.2).
  if (!isSecureContext || !navigator.mediaDevices) throw new NoMicrophone("insecure");
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 },
    });
  } catch (error) {
    throw new NoMicrophone(
      error instanceof DOMException && ["NotAllowedError", "SecurityError"].includes(error.name) ? "denied" : "device",
    );
  }
  try {
    await context.audioWorklet.addModule(workletUrl);
    const source = context.createMediaStreamSource(stream);
    const capture = new AudioWorkletNode(context, "capture", {
      numberOfInputs: 1,
      numberOfOutputs: 0,
      channelCount: 1,
      channelCountMode: "explicit",
    });
    capture.port.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => heard(data);
    source.connect(capture);
    return {
      source,
      close: () => {
        capture.port.onmessage = null;
        source.disconnect();
        for (const track of stream.getTracks()) track.stop();
      },
    };
  } catch (error) {
    for (const track of stream.getTracks()) track.stop();
    throw error;
  }
}
