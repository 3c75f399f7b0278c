import { useTexts } from "../../language";

const KEYS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "0", "#"];

/** The keys of a telephone. */
export function Digits({ onDigit }: { onDigit: (digit: string) => void }) {
  const t = useTexts();
  return (
    <details className="digits">
      <summary>{t.talk.digits}</summary>
      <div className="pad">
        {KEYS.map((digit) => (
          <button key={digit} type="button" className="button" onClick={() => onDigit(digit)}>
            {digit}
          </button>
        ))}
      </div>
    </details>
  );
}
