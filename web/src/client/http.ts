// The API over HTTP, typed by its own document: `npm run schema` writes schema.d.ts out of it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schema = components["schemas"];

/** What the server says went wrong (RFC 9457), or that it did not answer: then `status` is 0. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly detail: string,
    /** Seconds after which to try again, where the server said so. */
    readonly retryAfter: number | null = null,
  ) {
    super(detail);
  }
}

let key = "";
/** The key that every request sends from now on; an empty one is none. */
export const useKey = (next: string): void => {
  key = next;
};

/** A request with the key, whose answer is a success or a `Problem`. */
export async function ask(input: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const request = new Request(input, init);
  if (key) request.headers.set("authorization", `Bearer ${key}`);
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

/** The problem in an answer, whatever its body is. */
async function problem(answer: Response): Promise<Problem> {
  const body: unknown = await answer.json().catch(() => null);
  const detail = body && typeof body === "object" && "detail" in body ? String(body.detail) : answer.statusText;
  return new Problem(answer.status, detail, Number(answer.headers.get("retry-after")) || null);
}

const client = createClient<paths>({ baseUrl: globalThis.location?.origin, fetch: (request) => ask(request) });

/** The typed methods; each throws a `Problem` where there is no answer to give. */
export const api = client;

/** What an answer holds; those without a body hold nothing. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
