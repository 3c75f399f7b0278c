import { Component, type ReactNode } from "react";
import { useTexts } from "../language";
import { Notice } from "./notice";

/** A page that fails to draw shows that it does, and the frame stays. */
export class Boundary extends Component<{ children: ReactNode }, { broken: boolean }> {
  override state = { broken: false };

  static getDerivedStateFromError() {
    return { broken: true };
  }

  override render() {
    return this.state.broken ? <Broken /> : this.props.children;
  }
}

function Broken() {
  const t = useTexts();
  return (
    <Notice kind="bad" title={t.fault.broken}>
      <p>{t.fault.broken_hint}</p>
      <button type="button" className="button" onClick={() => location.reload()}>
        {t.common.reload}
      </button>
    </Notice>
  );
}
