/** Why there is no microphone. */
export class NoMicrophone extends Error {
  constructor(readonly why: "denied" | "device" | "insecure") {
    super(why);
  }
}

/** What the browser takes out of the sound: Milo's own voice from the loudspeaker first of all. */
const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };

/** Asks for the microphone. */
export async function microphone(): Promise<MediaStream> {
  // Browsers hide it from pages that did not come by https (Media Capture and Streams, section 10.2).
  if (!isSecureContext || !navigator.mediaDevices) throw new NoMicrophone("insecure");
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: WANTED });
  } catch (error) {
    throw new NoMicrophone(
      error instanceof DOMException && ["NotAllowedError", "SecurityError"].includes(error.name) ? "denied" : "device",
    );
  }
}

export const silence = (stream: MediaStream): void => {
  for (const track of stream.getTracks()) track.stop();
};

/**
 * Hands out what a source sounds like: 20 ms of 16-bit mono at 16 kHz at a time. `worklet` is where capture.worklet.js lies. What comes back
 * ends it.
 */
export async function capture(source: AudioNode, worklet: string, heard: (piece: ArrayBuffer) => void): Promise<() => void> {
  const { context } = source;
  await context.audioWorklet.addModule(worklet);
  const node = new AudioWorkletNode(context, "capture", {
    numberOfInputs: 1,
    numberOfOutputs: 0,
    channelCount: 1,
    channelCountMode: "explicit",
  });
  node.port.onmessage = ({ data }: MessageEvent<ArrayBuffer>) => heard(data);
  source.connect(node);
  return () => {
    node.port.onmessage = null;
    source.disconnect(node);
  };
}
