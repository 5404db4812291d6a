/**
 * Words as Dockerfile instructions have them (BuildKit's frontend/dockerfile/shell and parser): cut at white space,
 * quoted with ' or ", escaped with a backslash, with `$NAME`, `${NAME}` and `${NAME:-word}` replaced.
 */

/** The values of variables; absent is not the same as empty. */
export type Variables = ReadonlyMap<string, string>;

/** Says what is wrong with a text; the caller names the instruction. */
export class WordError extends Error {}

/**
 * Cuts at white space outside quotes. Quotes and backslashes stay in the words, for `expandWord`.
 * @throws {WordError} for a quote that is not closed
 */
export function splitWords(text: string): readonly string[] {
  const words: string[] = [];
  let word = "";
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === "\\" && quote !== "'" && at + 1 < text.length) {
      word += character + text.charAt(++at);
    } else if (quote === "" && isSpace(character)) {
      if (word !== "") words.push(word);
      word = "";
    } else {
      if (character === quote) quote = "";
      else if (quote === "" && (character === "'" || character === '"')) quote = character;
      word += character;
    }
  }
  if (quote !== "") throw new WordError(`a ${quote} is not closed`);
  if (word !== "") words.push(word);
  return words;
}

function isSpace(character: string): boolean {
  return character === " " || character === "\t";
}

/**
 * A word with quotes taken away, escapes resolved and variables replaced.
 * @throws {WordError} for a quote or brace that is not closed, or a `${…}` that is not understood
 */
export function expandWord(word: string, variables: Variables): string {
  return new Expansion(word, variables).until("");
}

const NAME_START = /[A-Za-z_]/;
const NAME = /[A-Za-z0-9_]/;
const SPECIAL = /[0-9@*#?$!-]/;

class Expansion {
  readonly #text: string;
  readonly #variables: Variables;
  #at = 0;

  constructor(text: string, variables: Variables) {
    this.#text = text;
    this.#variables = variables;
  }

  /** Up to `end` (which is passed over), or to the end of the text for "". */
  until(end: "" | "}"): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const character = this.#text.charAt(this.#at);
      if (character === end) {
        this.#at++;
        return result;
      }
      if (character === "'") result += this.#singleQuoted();
      else if (character === '"') result += this.#doubleQuoted();
      else if (character === "$") result += this.#variable();
      else if (character === "\\" && this.#at + 1 < this.#text.length) {
        result += this.#text.charAt(this.#at + 1);
        this.#at += 2;
      } else {
        result += character;
        this.#at++;
      }
    }
    if (end !== "") throw new WordError("a ${ is not closed");
    return result;
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at + 1);
    if (end < 0) throw new WordError("a ' is not closed");
    const inside = this.#text.slice(this.#at + 1, end);
    this.#at = end + 1;
    return inside;
  }

  #doubleQuoted(): string {
    let result = "";
    this.#at++;
    while (this.#at < this.#text.length) {
      const character = this.#text.charAt(this.#at);
      if (character === '"') {
        this.#at++;
        return result;
      }
      const next = this.#text.charAt(this.#at + 1);
      if (character === "$") result += this.#variable();
      else if (character === "\\" && (next === '"' || next === "$" || next === "\\")) {
        result += next;
        this.#at += 2;
      } else {
        result += character;
        this.#at++;
      }
    }
    throw new WordError('a " is not closed');
  }

  #variable(): string {
    this.#at++;
    if (this.#text.charAt(this.#at) === "{") {
      this.#at++;
      return this.#braced();
    }
    const name = this.#name();
    return name === "" ? "$" : (this.#variables.get(name) ?? "");
  }

  #name(): string {
    const start = this.#at;
    if (SPECIAL.test(this.#text.charAt(start))) this.#at++;
    else if (NAME_START.test(this.#text.charAt(start))) {
      while (NAME.test(this.#text.charAt(this.#at))) this.#at++;
    }
    return this.#text.slice(start, this.#at);
  }

  /** `NAME}`, or `NAME` with one of `-`, `+`, `?`, each also after ":", and a word. */
  #braced(): string {
    const name = this.#name();
    if (name === "") throw new WordError("a ${ has no name in it");
    const value = this.#variables.get(name);
    if (this.#text.charAt(this.#at) === "}") {
      this.#at++;
      return value ?? "";
    }
    const colon = this.#text.charAt(this.#at) === ":";
    if (colon) this.#at++;
    const operator = this.#text.charAt(this.#at++);
    const word = this.until("}");
    const isSet = value !== undefined && !(colon && value === "");
    if (operator === "-") return isSet ? value : word;
    if (operator === "+") return isSet ? word : "";
    if (operator === "?") {
      if (isSet) return value;
      throw new WordError(`${name}: ${word === "" ? "it is not set" : word}`);
    }
    throw new WordError(`"\${${name}${colon ? ":" : ""}${operator}" is not understood`);
  }
}

/** The strings of a JSON array; null if the text is not a JSON array. @throws {WordError} for an array of other things */
export function jsonStrings(text: string): readonly string[] | null {
  if (!text.startsWith("[")) return null;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return null; // "[ -f x ] && y" is a command
  }
  if (!Array.isArray(parsed) || !parsed.every((item) => typeof item === "string")) {
    throw new WordError("only strings may be in the array");
  }
  return parsed;
}
