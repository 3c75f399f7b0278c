import { useQuery } from "@tanstack/react-query";
import { useKey } from "../access";
import { api, data, Problem } from "../client/http";
import { Fault } from "./fault";

/** Says at once, not only when something was asked in vain, that whoever reads the page may not talk, and how that is changed. */
export function Locked() {
  const key = useKey();
  // The smallest thing that needs the same scope.
  const access = useQuery({
    queryKey: ["access", key],
    queryFn: async () => data(api.GET("/api/v1/batch", { params: { query: { limit: 1 } } })),
    refetchInterval: false,
    staleTime: Infinity,
  });
  return access.error instanceof Problem && [401, 403].includes(access.error.status) ? (
    <Fault error={access.error} scope="text" />
  ) : null;
}
