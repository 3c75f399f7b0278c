// Server-sent events of a POST (HTML Standard, section 9.2.6): `EventSource` can neither post nor send a key.

export interface ServerEvent {
  event: string;
  data: string;
}

/** The events of a body, as they come. */
export async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      buffer += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const blocks = buffer.split(/\r?\n\r?\n/);
      // What is behind the last empty line has not ended, unless nothing more comes.
      buffer = done ? "" : (blocks.pop() ?? "");
      for (const block of blocks) {
        const found = parsed(block);
        if (found) yield found;
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

function parsed(block: string): ServerEvent | null {
  let event = "message";
  const lines: string[] = [];
  for (const line of block.split(/\r?\n/)) {
    const [name, rest] = line.includes(":") ? [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)] : [line, ""];
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (name === "event") event = value;
    if (name === "data") lines.push(value);
  }
  return lines.length ? { event, data: lines.join("\n") } : null;
}
