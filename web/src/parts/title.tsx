import { useEffect, type ReactNode } from "react";

/** The page's heading, which is also the window's title and takes the focus when the page is opened. */
export function Title({ children, aside, lede }: { children: string; aside?: ReactNode; lede?: string }) {
  useEffect(() => {
    document.title = `${children} · Milo`;
  }, [children]);
  return (
    <header className="title">
      <div>
        <h1 tabIndex={-1}>{children}</h1>
        {lede && <p className="lede">{lede}</p>}
      </div>
      {aside}
    </header>
  );
}
