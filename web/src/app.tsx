// The frame around every page, and which page stands at which address. Each page is a file of its own that is loaded when it is opened.
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, type ComponentType, type LazyExoticComponent } from "react";
import { Route, Switch, useLocation } from "wouter";
import { Problem } from "./client/http";
import { Boundary } from "./parts/boundary";
import { Frame } from "./parts/frame";
import { Loading } from "./parts/loading";
import { Missing } from "./pages/missing";
import { every } from "./queries";

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (count, error) => count < 1 && error instanceof Problem && error.status === 0,
      refetchInterval: every(4000),
      staleTime: 1000,
    },
  },
});

const PAGES: [string, LazyExoticComponent<ComponentType>][] = [
  ["/", lazy(() => import("./pages/talk"))],
  ["/calls", lazy(() => import("./pages/calls"))],
  ["/calls/:id", lazy(() => import("./pages/call"))],
  ["/campaigns", lazy(() => import("./pages/campaigns"))],
  ["/campaigns/:id", lazy(() => import("./pages/campaign"))],
  ["/requests", lazy(() => import("./pages/requests"))],
  ["/transcribe", lazy(() => import("./pages/transcribe"))],
  ["/speak", lazy(() => import("./pages/speak"))],
  ["/translate", lazy(() => import("./pages/translate"))],
  ["/system/:part?", lazy(() => import("./pages/system"))],
];

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <Frame>
        <Boundary>
          <Suspense fallback={<Loading />}>
            <Switch>
              {PAGES.map(([path, Page]) => (
                <Route key={path} path={path}>
                  <Opened>
                    <Page />
                  </Opened>
                </Route>
              ))}
              <Route>
                <Missing />
              </Route>
            </Switch>
          </Suspense>
        </Boundary>
      </Frame>
    </QueryClientProvider>
  );
}

let first = true;

/** Another page has been opened: whoever cannot see it is told by the focus, which goes to its heading. */
function Opened({ children }: { children: React.ReactNode }) {
  const [path] = useLocation();
  useEffect(() => {
    if (first) {
      first = false;
      return;
    }
    scrollTo(0, 0);
    document.querySelector<HTMLElement>("main h1")?.focus();
  }, [path]);
  return children;
}
