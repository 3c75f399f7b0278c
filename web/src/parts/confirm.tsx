import { useId, useRef, type ReactNode } from "react";
import { useTexts } from "../language";

/** Asks before something that cannot be taken back. */
export function Confirm({
  question,
  confirm,
  onConfirm,
  children,
}: {
  question: string;
  confirm: string;
  onConfirm: () => void;
  children: (open: () => void) => ReactNode;
}) {
  const t = useTexts();
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  return (
    <>
      {children(() => dialog.current?.showModal())}
      <dialog
        ref={dialog}
        aria-labelledby={id}
        onClick={(event) => {
          if (event.target === dialog.current) dialog.current.close();
        }}
      >
        <form method="dialog" className="stack">
          <p id={id}>{question}</p>
          <div className="row">
            <button type="submit" className="button" autoFocus>
              {t.common.cancel}
            </button>
            <button type="submit" className="button danger" onClick={onConfirm}>
              {confirm}
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}
