// Lengths of time and instants in words. `duration` says the same as the one in Python; a shared table holds them
// together (test/durations.json).

export function duration(seconds: number): string {
  if (seconds < 0.0995) return `${Math.round(Math.max(0, seconds) * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (value: number) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} m ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} m`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

/** A length of time that may still grow; nothing before it began. */
export function elapsed(start: number | null, end: number | null, now: number): string {
  return start === null ? "" : duration(Math.max(0, (end ?? now) - start));
}

/** "Failed after {}" with the time in its gap, or the word alone where there is no time. */
export function phrase(text: string, word: string, time: string): string {
  return text.includes("{}") && time ? text.replace("{}", time) : word;
}

/** The time of day in the reader's zone, as a log shows it. */
export function timeOfDay(at: number): string {
  const date = new Date(at * 1000);
  return [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
}

export function clip(text: string, length: number): string {
  return text.length <= length ? text : text.slice(0, Math.max(0, length - 1)) + "…";
}

/** A day and a time of day in the reader's zone: `Fri 20 Nov, 06:00`. */
export function dayAndTime(at: number): string {
  const date = new Date(at * 1000);
  const day = date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short" }).replace(",", "");
  return `${day}, ${timeOfDay(at).slice(0, 5)}`;
}
