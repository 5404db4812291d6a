/** HEALTHCHECK [OPTIONS] CMD command, and HEALTHCHECK NONE (docker's Dockerfile reference; image.spec v1.2, "Healthcheck"). */

import { jsonStrings, WordError } from "./shell-words.ts";

/** Where each option goes. */
const DURATIONS: Readonly<Record<string, string>> = {
  interval: "Interval",
  timeout: "Timeout",
  "start-period": "StartPeriod",
  "start-interval": "StartInterval",
};

const UNIT_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  μs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** The value of `Healthcheck` in the config. @throws {WordError} if `text` is not understood */
export function parseHealthcheck(text: string): Readonly<Record<string, unknown>> {
  const options: Record<string, number> = {};
  let rest = text;
  for (let match = OPTION.exec(rest); match !== null; match = OPTION.exec(rest)) {
    const [whole, name = "", value = ""] = match;
    const duration = Object.hasOwn(DURATIONS, name) ? DURATIONS[name] : undefined;
    if (duration !== undefined) options[duration] = durationNs(name, value);
    else if (name === "retries") options.Retries = retriesOf(value);
    else throw new WordError(`option --${name} is not known`);
    rest = rest.slice(whole.length);
  }
  const [, kind = "", command = ""] = /^(\S*)\s*(.*)$/s.exec(rest) ?? [];
  if (kind.toUpperCase() === "NONE") {
    if (command !== "") throw new WordError("NONE takes no arguments");
    return { Test: ["NONE"] };
  }
  if (kind.toUpperCase() !== "CMD") throw new WordError("it must be CMD and a command, or NONE");
  const list = jsonStrings(command);
  if (command === "" || list?.length === 0) throw new WordError("CMD has no command");
  return { Test: list === null ? ["CMD-SHELL", command] : ["CMD", ...list], ...options };
}

const OPTION = /^--([a-z-]+)(?:=(\S*))?(?:\s+|$)/;

/** A Go duration ("1m30s") in nanoseconds: 0, or at least a millisecond. Micro is written with either letter. */
function durationNs(name: string, text: string): number {
  const isDuration = /^\+?(\d+(\.\d*)?(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+$/.test(text);
  if (!isDuration && text !== "0") throw new WordError(`--${name}: ${JSON.stringify(text)} is not a duration`);
  let sum = 0;
  for (const [, number = "", unit = ""] of text.matchAll(/(\d+(?:\.\d*)?)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)/g)) {
    sum += Number(number) * (UNIT_NS[unit] ?? 0);
  }
  const whole = Math.round(sum);
  if (whole !== 0 && whole < 1e6) throw new WordError(`--${name} must be 0 or at least 1ms`);
  if (!Number.isSafeInteger(whole)) throw new WordError(`--${name} is too long`);
  return whole;
}

function retriesOf(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new WordError(`--retries: ${JSON.stringify(text)} is not a number ≥ 0`);
  return Number(text);
}
