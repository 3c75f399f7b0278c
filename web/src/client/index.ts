// The client for other pages, served as /client.js: README.md beside this shows it in ten lines.
import "./capture.worklet.js";
import { chat, type Answer, type Order } from "./chat";
import { Conversation, type Options } from "./conversation";
import { Server, type Tickets } from "./server";

export type { Answer, Order } from "./chat";
export type { Options, Way } from "./conversation";
export type { Told } from "./line";
export type { Purpose, Tickets } from "./server";
export { Conversation } from "./conversation";
export { Ended } from "./line";
export { NoMicrophone } from "./microphone";
export { Problem } from "./server";

export interface Access {
  /** Milo's address; without it, where this file came from. */
  server?: string;
  /** Gets a ticket from the page's own server, which has a key. */
  ticket?: Tickets;
  /** A key, for pages that only those see who may know it. */
  key?: string;
}

/** The session of a tab: what was said and written in it is one conversation. */
export class Milo {
  private readonly server: Server;

  constructor({ server, ticket, key = "" }: Access = {}) {
    this.server = new Server(new URL(server ?? "/", import.meta.url).origin, ticket ?? null);
    this.server.key = key;
  }

  /** Calls, by WebRTC, or where that cannot be by a WebSocket. To be called where a button was pressed. */
  call(options: Options = {}): Promise<Conversation> {
    // This file is also what runs in the browser's audio thread.
    return Conversation.open(this.server, import.meta.url, options);
  }

  /** Writes, and resolves with the answer; `grew` hears it as it grows. */
  write(order: Order | string, grew: (reply: string) => void = () => undefined, signal?: AbortSignal): Promise<Answer> {
    return chat(this.server, typeof order === "string" ? { message: order } : order, grew, signal);
  }
}
