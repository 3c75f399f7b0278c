// The API of the Milo that the page came from, typed by its own document: `npm run schema` writes schema.d.ts out of it.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema";
import { Server } from "./server";

export { Problem } from "./server";
export type Schema = components["schemas"];

/** The Milo of these pages. */
export const server = new Server(globalThis.location?.origin ?? "");

/** The key that every request sends from now on; an empty one is none. */
export const useKey = (next: string): void => {
  server.key = next;
};

/** A request with the key, whose answer is a success or a `Problem`. */
export const ask = (input: string | URL | Request, init?: RequestInit): Promise<Response> => server.ask(input, init);

const client = createClient<paths>({ baseUrl: server.url, fetch: ask });

/** The typed methods; each throws a `Problem` where there is no answer to give. */
export const api = client;

/** What an answer holds; those without a body hold nothing. */
export async function data<T>(answer: Promise<{ data?: T }>): Promise<T> {
  return (await answer).data as T;
}
