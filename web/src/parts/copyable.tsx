import { useRef, useState } from "react";
import { useTexts } from "../language";
import { Icon } from "./icon";

/** A line that people take elsewhere. */
export function Copyable({ text }: { text: string }) {
  const t = useTexts();
  const [copied, setCopied] = useState(false);
  const line = useRef<HTMLElement>(null);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the right to the clipboard (plain HTTP from elsewhere): mark it, so that one key copies it.
      if (line.current) getSelection()?.selectAllChildren(line.current);
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div className="copyable">
      <code ref={line} tabIndex={0}>
        {text}
      </code>
      <button type="button" className="button" onClick={() => void copy()}>
        <Icon name="copy" />
        <span aria-live="polite">{copied ? t.common.copied : t.common.copy}</span>
      </button>
    </div>
  );
}
