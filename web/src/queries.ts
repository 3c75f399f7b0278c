// What several pages ask, under the same names, so that it is asked once.
import { useQuery, type Query } from "@tanstack/react-query";
import { useKey } from "./access";
import { api, data, Problem, type Schema } from "./client/http";

/** How long what failed otherwise is left alone, in milliseconds. */
const AFTER_A_FAULT = 10_000;

/**
 * Asks again every so many milliseconds, while that has a point: what was refused stays refused until there is another key, and where
 * nobody answers `useHealth` finds out when somebody does.
 */
export const every =
  (ms: number) =>
  ({ state: { error } }: Pick<Query, "state">): number | false => {
    if (!error) return ms;
    return error instanceof Problem && [0, 401, 403, 404].includes(error.status) ? false : AFTER_A_FAULT;
  };

/** How Milo is. */
export const useHealth = () =>
  useQuery({ queryKey: ["health"], queryFn: async () => data(api.GET("/api/v1/health")), refetchInterval: 4000 });

/** What whoever reads the page may do, so that nothing is offered that would be refused; nothing, before that is known. */
export function useMay(): Record<Schema["Scope"], boolean> {
  const key = useKey();
  const { data: access } = useQuery({
    queryKey: ["may", key],
    queryFn: async () => data(api.GET("/api/v1/sign-in")),
    refetchInterval: every(60_000),
  });
  const may = (scope: Schema["Scope"]) => access?.scopes.includes(scope) ?? false;
  return { calls: may("calls"), text: may("text"), read: may("read"), admin: may("admin") };
}

/** The paths that this Milo has: parts that need one show themselves only then. */
export const usePaths = () =>
  useQuery({
    queryKey: ["paths"],
    queryFn: async () => {
      const document = (await (await fetch("/openapi.json")).json()) as { paths: Record<string, unknown> };
      return new Set(Object.keys(document.paths));
    },
    staleTime: Infinity,
    refetchInterval: false,
  });
