import { afterEach, expect, it, vi } from "vitest";

afterEach(() => vi.unstubAllGlobals());

it("who came by the terminal's link is told so until they sign out or give another key", async () => {
  vi.stubGlobal("location", { origin: "http://127.0.0.1:8000", hash: "#sign-in=link_x", pathname: "/", search: "" });
  vi.stubGlobal("history", { replaceState: () => undefined });
  const asked: Request[] = [];
  vi.stubGlobal("fetch", async (request: Request) => {
    asked.push(request);
    const key = `session_${asked.length}`;
    return request.method === "DELETE" ? new Response(null, { status: 204 }) : new Response(JSON.stringify({ key }), { status: 201 });
  });
  const access = await import("./access");
  await access.signInByLink();
  expect([access.currentKey(), access.linkedBy()]).toEqual(["session_1", "signed_in"]);
  access.signOut();
  expect([access.currentKey(), access.linkedBy()]).toEqual(["", "none"]);
  expect(asked.map(({ method, headers }) => [method, headers.get("authorization")])).toEqual([
    ["POST", null],
    ["DELETE", "Bearer session_1"],
  ]);
  await access.signInByLink();
  expect(access.linkedBy()).toBe("signed_in");
  access.setKey("milo_other");
  expect(access.linkedBy()).toBe("none");
});
