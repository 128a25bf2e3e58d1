// The schedules people name in words, as the cron line or the interval that the kernel understands. Pure.

export interface Chosen {
  preset: string;
  time: string;
  day: string;
  cron: string;
  every: string;
}

/** What can be chosen, and which further fields each choice has. */
export const PRESETS: [string, string, (keyof Chosen)[]][] = [
  ["none", "When somebody asks", []],
  ["hourly", "Every hour", []],
  ["daily", "Every day at…", ["time"]],
  ["weekdays", "Every weekday at…", ["time"]],
  ["weekly", "Every week on…", ["day", "time"]],
  ["monthly", "Every month on the 1st at…", ["time"]],
  ["interval", "Every so often…", ["every"]],
  ["cron", "Cron expression…", ["cron"]],
];

export const DAYS: [string, string][] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"].map((name, index) => [String((index + 1) % 7), name]);

/** The cron line or the interval of what was chosen. */
export function written(chosen: Chosen): { cron: string; every: string } {
  const [hour = "0", minute = "0"] = chosen.time.split(":");
  const at = `${Number(minute) || 0} ${Number(hour) || 0}`;
  const crons: Record<string, string> = {
    hourly: "0 * * * *",
    daily: `${at} * * *`,
    weekdays: `${at} * * 1-5`,
    weekly: `${at} * * ${chosen.day || "1"}`,
    monthly: `${at} 1 * *`,
    cron: chosen.cron.trim(),
  };
  return { cron: crons[chosen.preset] ?? "", every: chosen.preset === "interval" ? chosen.every.trim() : "" };
}
