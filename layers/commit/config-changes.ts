/**
 * Changes of an image's config, one Dockerfile instruction each, as `docker commit --change` takes them: CMD ENTRYPOINT
 * ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR (docker's Dockerfile reference). Variables are those
 * of the image's own ENV, as there. Fields that no change touches stay as they are, unknown ones too.
 */

import { UsageError } from "../../src/errors.ts";
import { signalNumber } from "../../src/exec/signal-number.ts";
import type { ProcessConfig } from "../oci/image-config.ts";
import { parseHealthcheck } from "./healthcheck.ts";
import { expandWord, jsonStrings, splitWords, type Variables, WordError } from "./shell-words.ts";

/** What is being changed. */
interface Draft {
  config: ProcessConfig;
  /** Whether a CMD came before: an ENTRYPOINT drops the base's otherwise. */
  isCommandSet: boolean;
}

type Instruction = (draft: Draft, text: string) => ProcessConfig;

const DEFAULT_SHELL: readonly string[] = ["/bin/sh", "-c"];

const INSTRUCTIONS: Readonly<Record<string, Instruction>> = {
  CMD: (draft, text) => {
    draft.isCommandSet = true;
    return { ...draft.config, Cmd: commandOf(text, draft.config) };
  },
  ENTRYPOINT: (draft, text) => {
    const changed = { ...draft.config, Entrypoint: commandOf(text, draft.config) };
    return draft.isCommandSet ? changed : { ...changed, Cmd: null };
  },
  ENV: ({ config }, text) => {
    const variables = new Map(variablesOf(config));
    for (const [name, value] of keyValues(text, variablesOf(config))) variables.set(name, value);
    return { ...config, Env: [...variables].map(([name, value]) => `${name}=${value}`) };
  },
  EXPOSE: ({ config }, text) => {
    const ports = splitWords(text).flatMap((word) => portsOf(expandWord(word, variablesOf(config))));
    if (ports.length === 0) throw new WordError("it names no port");
    return { ...config, ExposedPorts: withKeys(config.ExposedPorts, ports) };
  },
  HEALTHCHECK: ({ config }, text) => ({ ...config, Healthcheck: parseHealthcheck(text) }),
  LABEL: ({ config }, text) => {
    const labels = { ...config.Labels, ...Object.fromEntries(keyValues(text, variablesOf(config))) };
    return { ...config, Labels: sorted(labels) };
  },
  ONBUILD: ({ config }, text) => {
    const trigger = /^\S*/.exec(text)?.[0].toUpperCase() ?? "";
    if (trigger === "ONBUILD") throw new WordError("an ONBUILD cannot trigger another");
    if (trigger === "FROM" || trigger === "MAINTAINER") throw new WordError(`${trigger} cannot be a trigger`);
    return { ...config, OnBuild: [...(config.OnBuild ?? []), text] };
  },
  STOPSIGNAL: ({ config }, text) => {
    const signal = expandWord(text, variablesOf(config));
    if (signalNumber(signal) === null) throw new WordError("it is not a signal");
    return { ...config, StopSignal: signal };
  },
  USER: ({ config }, text) => ({ ...config, User: expandWord(text, variablesOf(config)) }),
  VOLUME: ({ config }, text) => {
    const words = jsonStrings(text) ?? splitWords(text);
    const paths = words.map((word) => expandWord(word, variablesOf(config)).trim());
    if (paths.length === 0 || paths.includes("")) throw new WordError("a volume has no path");
    return { ...config, Volumes: withKeys(config.Volumes, paths) };
  },
  WORKDIR: ({ config }, text) => {
    const path = expandWord(text, variablesOf(config));
    if (path === "") throw new WordError("it names no directory");
    return { ...config, WorkingDir: joined(path.startsWith("/") ? "" : (config.WorkingDir ?? ""), path) };
  },
};

/**
 * The config after `changes`, in order. A change of several lines is several instructions; a backslash at the end of a
 * line goes on with the next; empty lines and lines that begin with "#" do nothing.
 * @throws {UsageError} `ERR_CONFIG_CHANGE` naming the change that is not understood
 */
export function applyConfigChanges(config: ProcessConfig, changes: readonly string[]): ProcessConfig {
  const draft: Draft = { config, isCommandSet: false };
  for (const line of changes.flatMap(linesOf)) draft.config = applyLine(draft, line);
  return draft.config;
}

function linesOf(change: string): readonly string[] {
  const lines: string[] = [];
  let pending = "";
  for (const line of change.split(/\r?\n/)) {
    if (/^\s*(#|$)/.test(line)) continue; // also between the lines of one instruction, as in a Dockerfile
    const continued = /\\[ \t]*$/.exec(line);
    pending += continued === null ? line : line.slice(0, continued.index);
    if (continued !== null) continue;
    lines.push(pending.trim());
    pending = "";
  }
  if (pending !== "") lines.push(pending.trim());
  return lines;
}

function applyLine(draft: Draft, line: string): ProcessConfig {
  const [, keyword = "", text = ""] = /^(\S+)\s*(.*)$/s.exec(line) ?? [];
  const name = keyword.toUpperCase();
  const instruction = Object.hasOwn(INSTRUCTIONS, name) ? INSTRUCTIONS[name] : undefined;
  try {
    if (instruction === undefined) {
      throw new WordError(`it must begin with one of ${Object.keys(INSTRUCTIONS).join(" ")}`);
    }
    if (text === "") throw new WordError("it has no argument");
    return instruction(draft, text);
  } catch (error) {
    if (!(error instanceof WordError)) throw error;
    const shown = JSON.stringify(line.slice(0, 200));
    throw new UsageError("ERR_CONFIG_CHANGE", `Cannot apply change ${shown}: ${error.message}`, {
      data: { change: line },
      cause: error,
    });
  }
}

/** A JSON array as it is; any other text as a command for the image's shell. */
function commandOf(text: string, config: ProcessConfig): readonly string[] {
  return jsonStrings(text) ?? [...(config.Shell ?? DEFAULT_SHELL), text];
}

/** The variables of the image itself. */
function variablesOf(config: ProcessConfig): Variables {
  return new Map((config.Env ?? []).map((variable) => splitAt(variable, variable.indexOf("="))));
}

/** `KEY=VALUE…`, or `KEY` and one value that is the rest of the line. */
function keyValues(text: string, variables: Variables): readonly (readonly [string, string])[] {
  const words = splitWords(text);
  if (words[0]?.includes("=") !== true) {
    const pair = /^(\S+)\s+(.*)$/s.exec(text);
    if (pair === null) throw new WordError("it must be KEY=VALUE");
    return [[expandWord(pair[1] ?? "", variables), expandWord(pair[2] ?? "", variables)]];
  }
  return words.map((word) => {
    const equals = word.indexOf("=");
    if (equals < 0) throw new WordError(`${JSON.stringify(word)} must be KEY=VALUE`);
    const [name, value] = splitAt(word, equals);
    const key = expandWord(name, variables);
    if (key === "") throw new WordError("a name is empty");
    return [key, expandWord(value, variables)];
  });
}

function splitAt(text: string, equals: number): readonly [string, string] {
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}

/** `PORT`, `FIRST-LAST`, each also with `/tcp`, `/udp` or `/sctp`. */
function portsOf(word: string): readonly string[] {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?(?:\/(tcp|udp|sctp))?$/i.exec(word);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || last > 65_535 || first > last) throw new WordError(`${JSON.stringify(word)} is not a port`);
  const protocol = (match[3] ?? "tcp").toLowerCase();
  return Array.from({ length: last - first + 1 }, (_, offset) => `${first + offset}/${protocol}`);
}

/** A set as Go writes one: names with an empty object each, sorted. */
function withKeys(base: Readonly<Record<string, unknown>> | null | undefined, names: readonly string[]) {
  return sorted({ ...base, ...Object.fromEntries(names.map((name) => [name, {}])) });
}

function sorted<Value>(record: Readonly<Record<string, Value>>): Readonly<Record<string, Value>> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Go's path.Join("/", current, path): without ".", ".." and doubled slashes. */
function joined(current: string, path: string): string {
  const parts: string[] = [];
  for (const part of `${current}/${path}`.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
