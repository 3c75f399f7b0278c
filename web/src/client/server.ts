// Where Milo is, and what proves who asks.

/** What the server says went wrong (RFC 9457), or that it did not answer: then `status` is 0. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** Seconds after which to try again, where the server said so. */
    readonly retryAfter: number | null = null,
    /** Which of the problems of this status it is, in a word that stays the same. */
    readonly code = "",
  ) {
    super(detail);
  }
}

/** What a ticket opens. */
export type Purpose = "webrtc" | "conversation" | "chat" | "supervision";

/** Gets a ticket from whoever has a key: the page's own server. */
export type Tickets = (purpose: Purpose) => Promise<string> | string;

export class Server {
  /** Every request sends it; an empty one is none. */
  key = "";

  constructor(
    /** Milo's origin. */
    readonly url: string,
    /** Without them, the key makes what is needed. */
    private readonly tickets: Tickets | null = null,
  ) {}

  /** A request with the key, whose answer is a success or a `Problem`. */
  async ask(input: string | URL | Request, init?: RequestInit): Promise<Response> {
    const request = new Request(typeof input === "string" ? new URL(input, this.url) : input, init);
    if (this.key) request.headers.set("authorization", `Bearer ${this.key}`);
    let answer: Response;
    try {
      answer = await fetch(request);
    } catch (error) {
      if (request.signal.aborted) throw error;
      throw new Problem(0, "");
    }
    if (!answer.ok) throw await problem(answer);
    return answer;
  }

  /** An address that takes the place of a key, where the page has none of its own. */
  async address(path: string, purpose: Purpose): Promise<URL> {
    const url = new URL(path, this.url);
    if (this.tickets) url.searchParams.set("ticket", (await this.tickets(purpose)).trim());
    return url;
  }

  /** The same for a WebSocket, which can send no key: a ticket stands in its address, good for one connection. */
  async socket(path: string, purpose: Purpose): Promise<URL> {
    const url = await this.address(path, purpose);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    if (!this.tickets) {
      const order = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ for: purpose }) };
      const made = (await (await this.ask("/api/v1/tickets", order)).json()) as { ticket: string };
      url.searchParams.set("ticket", made.ticket);
    }
    return url;
  }
}

/** The problem in an answer, whatever its body is. */
async function problem(answer: Response): Promise<Problem> {
  const body: unknown = await answer.json().catch(() => null);
  const said = body && typeof body === "object" ? (body as { detail?: unknown; code?: unknown }) : {};
  const detail = said.detail === undefined ? answer.statusText : String(said.detail);
  return new Problem(answer.status, detail, Number(answer.headers.get("retry-after")) || null, String(said.code ?? ""));
}
