// The texts of WHIP (RFC 9725): fragments of descriptions (RFC 8840), and the servers of `Link`.

export interface Credentials {
  ufrag: string;
  pwd: string;
}

const named = (sdp: string, name: string): string => new RegExp(`^a=${name}:(\\S+)`, "m").exec(sdp)?.[1] ?? "";

/** The ICE credentials of a description or a fragment. */
export const credentials = (sdp: string): Credentials => ({ ufrag: named(sdp, "ice-ufrag"), pwd: named(sdp, "ice-pwd") });

/** The body of a PATCH: candidates, `null` being their end, and credentials where ICE begins anew. */
export function fragment(candidates: (Pick<RTCIceCandidate, "candidate"> | null)[], ice: Credentials | null): string {
  const lines = [
    ...(ice ? [`a=ice-ufrag:${ice.ufrag}`, `a=ice-pwd:${ice.pwd}`] : []),
    "m=audio 9 UDP/TLS/RTP/SAVPF 0",
    "a=mid:0",
    // An empty one says that one generation of them is over.
    ...candidates.filter((one) => one?.candidate !== "").map((one) => (one ? `a=${one.candidate}` : "a=end-of-candidates")),
  ];
  return [...lines, ""].join("\r\n");
}

/** A description whose ICE session is that of a fragment, with its candidates. */
export function withCredentials(sdp: string, news: string): string {
  const { ufrag, pwd } = credentials(news);
  const candidates = news.match(/^a=candidate:.*$/gm)?.map((line) => line.trim()) ?? [];
  const lines = sdp
    .replace(/^a=ice-ufrag:.*$/gm, `a=ice-ufrag:${ufrag}`)
    .replace(/^a=ice-pwd:.*$/gm, `a=ice-pwd:${pwd}`)
    .split(/\r?\n/)
    .filter((line) => line && (!candidates.length || !/^a=(candidate:|end-of-candidates)/.test(line)));
  // Behind the first stream's own lines: all go with the one (BUNDLE).
  const second = lines.findIndex((line, at) => line.startsWith("m=") && lines.slice(0, at).some((one) => one.startsWith("m=")));
  lines.splice(second < 0 ? lines.length : second, 0, ...candidates);
  return [...lines, ""].join("\r\n");
}

/** The STUN and TURN servers of `Link` (RFC 9725 section 4.6). */
export function iceServers(link: string): RTCIceServer[] {
  const parameter = (text: string, name: string): string | undefined => {
    const value = new RegExp(`;\\s*${name}=(?:"((?:[^"\\\\]|\\\\.)*)"|([^;,\\s]+))`, "i").exec(text);
    return value ? (value[1]?.replace(/\\(.)/g, "$1") ?? value[2]) : undefined;
  };
  return [...link.matchAll(/<([^>]*)>((?:[^,"]|"(?:[^"\\]|\\.)*")*)/g)].flatMap(([, urls, parameters]) => {
    if (!urls || !parameters || parameter(parameters, "rel") !== "ice-server") return [];
    const [username, credential] = [parameter(parameters, "username"), parameter(parameters, "credential")];
    return [{ urls, ...(username !== undefined && { username }), ...(credential !== undefined && { credential }) }];
  });
}
