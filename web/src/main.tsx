import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { signInByLink } from "./access";
import { App } from "./app";
import { begin } from "./language";
import { applyTheme } from "./theme";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/parts.css";

applyTheme();
const root = document.getElementById("root");
// Nothing is drawn before the texts are there: no sentence ever appears in another language first.
if (root)
  void Promise.all([begin(), signInByLink()]).then(() =>
    createRoot(root).render(
      <StrictMode>
        <App />
      </StrictMode>,
    ),
  );
if (import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register("/sw.js").catch(() => undefined);
