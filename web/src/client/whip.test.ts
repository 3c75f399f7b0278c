import { afterEach, describe, expect, it, vi } from "vitest";
import { Problem, Server } from "./server";
import { credentials, fragment, iceServers, withCredentials } from "./whip";

const ANSWER = [
  "v=0",
  "a=group:BUNDLE 0 1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111",
  "a=mid:0",
  "a=ice-ufrag:oldu",
  "a=ice-pwd:oldpasswordoldpassword00",
  "a=candidate:1 1 udp 1 192.0.2.1 1 typ host",
  "a=end-of-candidates",
  "m=application 9 UDP/DTLS/SCTP webrtc-datachannel",
  "a=mid:1",
  "a=ice-ufrag:oldu",
  "a=ice-pwd:oldpasswordoldpassword00",
  "",
].join("\r\n");

describe("fragments of WHIP", () => {
  it("carry candidates, their end, and credentials where ICE begins anew", () => {
    const candidate = { candidate: "candidate:1 1 udp 1 192.0.2.7 9 typ host" };
    expect(fragment([candidate, { candidate: "" }, null], null)).toBe(
      "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.7 9 typ host\r\na=end-of-candidates\r\n",
    );
    const ice = credentials(ANSWER);
    expect(ice).toEqual({ ufrag: "oldu", pwd: "oldpasswordoldpassword00" });
    expect(fragment([], ice)).toBe(
      "a=ice-ufrag:oldu\r\na=ice-pwd:oldpasswordoldpassword00\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n",
    );
  });

  it("put another ICE session into a description, in each of its streams, with its candidates once", () => {
    const news = "a=ice-ufrag:newu\r\na=ice-pwd:newpasswordnewpassword00\r\na=candidate:2 1 udp 1 192.0.2.2 2 typ host\r\n";
    const lines = withCredentials(ANSWER, news).split("\r\n");
    expect(lines.filter((line) => line === "a=ice-ufrag:newu")).toHaveLength(2);
    expect(lines.filter((line) => line === "a=ice-pwd:newpasswordnewpassword00")).toHaveLength(2);
    expect(lines.filter((line) => line.startsWith("a=candidate:"))).toEqual(["a=candidate:2 1 udp 1 192.0.2.2 2 typ host"]);
    expect(lines.indexOf("a=candidate:2 1 udp 1 192.0.2.2 2 typ host")).toBeLessThan(lines.indexOf("a=mid:1"));
    expect(lines.join()).not.toContain("old");
    // Nothing new to be reached by: what was there stays.
    expect(withCredentials(ANSWER, "a=ice-ufrag:newu\r\na=ice-pwd:newpasswordnewpassword00\r\n")).toContain("192.0.2.1");
  });

  it("find the servers of Link, and nothing else in it", () => {
    const link =
      '<stun:stun.example:3478>; rel="ice-server", <turn:turn.example?transport=udp>; rel="ice-server"; ' +
      'username="1799999999:milo"; credential="a, b; c\\"d"; credential-type="password", <https://e.example>; rel="next"';
    expect(iceServers(link)).toEqual([
      { urls: "stun:stun.example:3478" },
      { urls: "turn:turn.example?transport=udp", username: "1799999999:milo", credential: 'a, b; c"d' },
    ]);
    expect(iceServers("")).toEqual([]);
  });
});

describe("a server", () => {
  afterEach(() => vi.unstubAllGlobals());
  const answering = (status: number, body: unknown, headers: Record<string, string> = {}) => {
    const asked: Request[] = [];
    vi.stubGlobal("fetch", async (request: Request) => {
      asked.push(request);
      return new Response(JSON.stringify(body), { status, headers });
    });
    return asked;
  };

  it("gets its tickets from the page's own server, or by its key", async () => {
    const asked = answering(201, { ticket: "ticket_made" });
    const purposes: string[] = [];
    const open = new Server("https://milo.example", (purpose) => (purposes.push(purpose), ` ticket_${purpose}\n`));
    expect((await open.address("/api/v1/webrtc", "webrtc")).href).toBe("https://milo.example/api/v1/webrtc?ticket=ticket_webrtc");
    expect((await open.socket("/api/v1/conversation", "conversation")).href).toBe(
      "wss://milo.example/api/v1/conversation?ticket=ticket_conversation",
    );
    expect([purposes, asked.length]).toEqual([["webrtc", "conversation"], 0]);
    const own = new Server("http://127.0.0.1:8000");
    own.key = "milo_key";
    expect((await own.address("/api/v1/webrtc", "webrtc")).search).toBe("");
    expect((await own.socket("/api/v1/conversation", "conversation")).search).toBe("?ticket=ticket_made");
    expect(asked.map((request) => [request.url, request.headers.get("authorization")])).toEqual([
      ["http://127.0.0.1:8000/api/v1/tickets", "Bearer milo_key"],
    ]);
    expect(await asked[0]?.json()).toEqual({ for: "conversation" });
  });

  it("says what went wrong by its name, or that nobody answers", async () => {
    answering(503, { detail: "the model is overloaded", code: "overloaded" }, { "retry-after": "1" });
    const server = new Server("https://milo.example");
    await expect(server.ask("/api/v1/chat")).rejects.toMatchObject({ status: 503, code: "overloaded", retryAfter: 1 });
    vi.stubGlobal("fetch", async () => Promise.reject(new TypeError("no network")));
    await expect(server.ask("/api/v1/chat")).rejects.toEqual(new Problem(0, ""));
  });
});
