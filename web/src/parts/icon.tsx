// Drawn here: strokes on a field of 24 by 24.
const PATHS = {
  talk: "M12 3a3 3 0 0 0-3 3v6a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3ZM5 11a7 7 0 0 0 14 0M12 18v3",
  muted: "M9 9.500V12a3 3 0 0 0 4.500 2.600M15 11V6a3 3 0 0 0-5.800-1.100M5 11a7 7 0 0 0 11.500 5.300M19 11a7 7 0 0 1-.500 2.600M12 18v3M4 3l16 18",
  transcribe: "M5 4h14M5 9h9M5 14h14M5 19h7",
  speak: "M4 9.500v5h3.500L12 19V5L7.500 9.500H4ZM16 9a4.500 4.500 0 0 1 0 6M18.500 6.500a8 8 0 0 1 0 11",
  translate:
    "M4 6h9M8.500 4v2M11 6c-.800 4-3.200 6.800-6.500 8.500M6.500 9.500c1.200 2.300 3 4 5.500 5M12.500 20l4-10 4 10M14 16.500h5",
  calls:
    "M6.500 4h3l1.500 4-2 1.500a11 11 0 0 0 5.500 5.500l1.500-2 4 1.500v3a2 2 0 0 1-2.200 2A16 16 0 0 1 4.500 6.200 2 2 0 0 1 6.500 4Z",
  system: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.800v4.400M9 14.800v4.400",
  settings:
    "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6ZM12 3v2.500M12 18.500V21M3 12h2.500M18.500 12H21M5.600 5.600l1.800 1.800M16.600 16.600l1.800 1.800M18.400 5.600l-1.800 1.800M7.400 16.600l-1.800 1.800",
  copy: "M9 9h10v10H9zM15 9V5H5v10h4",
  play: "M8 5.500v13l10.500-6.500L8 5.500Z",
  pause: "M8.500 5.500v13M15.500 5.500v13",
  stop: "M7 7h10v10H7z",
  send: "M12 19V5M6 11l6-6 6 6",
  up: "M7 10.500v9H4v-9h3ZM7 10.500l4-7c1.400 0 2.300 1 2.100 2.400L12.700 9H18a2 2 0 0 1 2 2.400l-1.200 6.400a2 2 0 0 1-2 1.700H7",
  down: "M7 13.500v-9H4v9h3ZM7 13.500l4 7c1.400 0 2.300-1 2.100-2.400l-.400-3.100H18a2 2 0 0 0 2-2.400l-1.200-6.400a2 2 0 0 0-2-1.700H7",
  search: "M10.500 4a6.500 6.500 0 1 0 0 13 6.500 6.500 0 0 0 0-13ZM15.500 15.500 20 20",
  download: "M12 4v11M7 10.500l5 5 5-5M5 20h14",
  upload: "M12 15.500v-11M7 9l5-5 5 5M5 20h14",
  close: "M6 6l12 12M18 6 6 18",
  back: "M19 12H5M11 6l-6 6 6 6",
  plus: "M12 5v14M5 12h14",
  swap: "M4 8h15M15 4l4 4-4 4M20 16H5M9 12l-4 4 4 4",
  hang_up:
    "M4 14.500c-.700-1.500.300-3 1.500-3.600 4-2.200 9-2.200 13 0 1.200.600 2.200 2.100 1.500 3.600l-.800 1.500-4.200-1.300v-2.200a10.500 10.500 0 0 0-6 0v2.200L4.800 16 4 14.500Z",
  refresh: "M19 7v4h-4M5 17v-4h4M18.500 11A7 7 0 0 0 6 8M5.500 13A7 7 0 0 0 18 16",
  key: "M14.500 4a5.500 5.500 0 1 1-3.900 9.400L8.500 15.500H6V18H3.500v-2.500l6-6A5.500 5.500 0 0 1 14.500 4ZM16 8.500h.010",
  incoming: "M18 6 7 17M7 9v8h8",
  outgoing: "M6 18 17 7M9 7h8v8",
} as const;

export type IconName = keyof typeof PATHS;

/** A picture beside words; it says nothing of its own. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
