/**
 * Image references, by the grammar and the defaults of docker (github.com/distribution/reference):
 * `[domain/]path[:tag][@digest]`, where "debian" means "docker.io/library/debian:latest".
 */

import { type Digest, isDigest } from "../../src/digest.ts";
import { IntegrityError, UsageError } from "../../src/errors.ts";

/** A reference in its full form. */
export interface Reference {
  /** "docker.io", "localhost:5000". */
  readonly domain: string;
  /** "library/debian". */
  readonly path: string;
  readonly tag: string | null;
  readonly digest: Digest | null;
}

const DEFAULT_DOMAIN = "docker.io";
const OFFICIAL = "library/";
/** The most characters of a domain, and of a path. */
const NAME_LIMIT = 255;
/** The longest reference there can be: domain, path, tag and digest. */
const REFERENCE_LIMIT = 2 * NAME_LIMIT + 1 + 128 + 1 + 71 + 1;

const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;

/**
 * Parses what a person typed. The tag is "latest" unless a tag or a digest is given.
 * @throws {UsageError} `ERR_REFERENCE_FORMAT`, saying what is allowed
 */
export function parseReference(text: string): Reference {
  const reference = readReference(text);
  if (typeof reference !== "string") return reference;
  throw new UsageError("ERR_REFERENCE_FORMAT", messageFor(text, reference), { data: { reference: text } });
}

/**
 * As `parseReference`, for a name found in an image source.
 * @throws {IntegrityError} `ERR_REFERENCE_FORMAT`
 */
export function parseSourceReference(text: string): Reference {
  const reference = readReference(text);
  if (typeof reference !== "string") return reference;
  const message = `${messageFor(text, reference)}; give the image another name with --name`;
  throw new IntegrityError("ERR_REFERENCE_FORMAT", message, { data: { reference: text } });
}

/** "docker.io/library/debian:latest". */
export function formatReference({ domain, path, tag, digest }: Reference): string {
  return `${domain}/${path}${suffix(tag, digest)}`;
}

/** As people write it: without docker.io and library. "debian:latest". */
export function familiarName({ domain, path, tag, digest }: Reference): string {
  const rest = suffix(tag, digest);
  if (domain !== DEFAULT_DOMAIN) return `${domain}/${path}${rest}`;
  const isOfficial = path.startsWith(OFFICIAL) && !path.includes("/", OFFICIAL.length);
  return (isOfficial ? path.slice(OFFICIAL.length) : path) + rest;
}

/** True if `text` could be a tag. */
export function isTag(text: string): boolean {
  return TAG.test(text);
}

function suffix(tag: string | null, digest: Digest | null): string {
  return `${tag === null ? "" : `:${tag}`}${digest === null ? "" : `@${digest}`}`;
}

function messageFor(text: string, why: string): string {
  return `Cannot use reference ${JSON.stringify(text.slice(0, 200))}: ${why}`;
}

/** The reference, or what is wrong with it. */
function readReference(text: string): Reference | string {
  if (text === "") return "it is empty";
  if (text.length > REFERENCE_LIMIT) return `it is ${text.length} characters long, the most is ${REFERENCE_LIMIT}`;
  if (/^[a-f0-9]{64}$/.test(text)) return "64 hex digits are a digest, not a name";
  const [name, digestText] = cut(text, text.indexOf("@"));
  if (digestText !== null && !isDigest(digestText)) return 'after "@" comes "sha256:" and 64 hex digits';
  const [domain, rest] = splitDomain(name);
  const [path, tag] = cut(rest, rest.indexOf(":"));
  const problem = domainProblem(domain) ?? pathProblem(path) ?? tagProblem(tag);
  if (problem !== null) return problem;
  return { domain, path, tag: tag ?? (digestText === null ? "latest" : null), digest: digestText };
}

function cut(text: string, at: number): [before: string, after: string | null] {
  return at < 0 ? [text, null] : [text.slice(0, at), text.slice(at + 1)];
}

/** What comes before the first "/" is a domain if it looks like one; docker has no other rule. */
function splitDomain(name: string): [domain: string, rest: string] {
  const [first, after] = cut(name, name.indexOf("/"));
  let [domain, rest] = [DEFAULT_DOMAIN, name];
  if (after !== null && (first === "localhost" || /[.:A-Z]/.test(first))) [domain, rest] = [first, after];
  if (domain === "index.docker.io") domain = DEFAULT_DOMAIN;
  if (domain === DEFAULT_DOMAIN && !rest.includes("/")) rest = OFFICIAL + rest;
  return [domain, rest];
}

function domainProblem(domain: string): string | null {
  if (domain.length > NAME_LIMIT) return `its host is ${domain.length} characters long, the most is ${NAME_LIMIT}`;
  if (DOMAIN.test(domain)) return null;
  return `${JSON.stringify(domain)} is not a host: letters, digits, "-" and ".", then ":" and a port`;
}

function pathProblem(path: string): string | null {
  if (path.length > NAME_LIMIT) return `its name is ${path.length} characters long, the most is ${NAME_LIMIT}`;
  const bad = path.split("/").find((component) => !PATH_COMPONENT.test(component));
  if (bad === undefined) return null;
  if (bad === "") return 'a part of its name between "/" is empty';
  if (bad !== bad.toLowerCase()) return "its name must be lower-case";
  return `${JSON.stringify(bad)} is not a name: a-z and 0-9, with ".", "_", "__" or "-" between them`;
}

function tagProblem(tag: string | null): string | null {
  if (tag === null || TAG.test(tag)) return null;
  if (tag.length > 128) return `its tag is ${tag.length} characters long, the most is 128`;
  return `${JSON.stringify(tag)} is not a tag: letters, digits, "_", "." and "-", not beginning with "." or "-"`;
}
