/**
 * Completion scripts, made from the definitions of the commands. They ask `layerctl completion references` and
 * `layerctl completion snapshots` for names, with the --root that is on the line.
 */

import type { Command, Option } from "commander";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof SHELLS)[number];

/** What an operand of a command is, as its argument is called in the command's definition. */
function operandKinds(command: Command): { readonly references: boolean; readonly snapshots: boolean } {
  const names = command.registeredArguments.map((argument) => argument.name());
  return {
    references: names.some((name) => /\bref\b/.test(name)),
    snapshots: names.some((name) => /\bname\b/.test(name)),
  };
}

/** The script for `shell`. */
export function completionScript(shell: Shell, program: Command): string {
  switch (shell) {
    case "bash":
      return bashScript(program);
    case "zsh":
      return zshScript(program);
    case "fish":
      return fishScript(program);
  }
}

function flagsOf(options: readonly Option[]): readonly string[] {
  return options.flatMap((option) => [option.short, option.long]).filter((flag) => flag !== undefined);
}

/** Every option, with the help's, which commander keeps apart. */
function optionsOf(command: Command): readonly Option[] {
  return command.createHelp().visibleOptions(command);
}

/** A pattern for `case` that matches the options which take a value. */
function valuedPattern(options: readonly Option[]): string {
  return flagsOf(options.filter((option) => option.required || option.optional)).join("|") || "-";
}

function askFor(names: string): string {
  return `candidates="$candidates $(layerctl "\${root[@]}" completion ${names} 2>/dev/null)"`;
}

/** The body of the function that bash and zsh share: it fills `candidates` for the command that FIND_VERB found. */
function sharedBody(program: Command): string {
  const cases = program.commands.map((command) => {
    const { references, snapshots } = operandKinds(command);
    const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
    const valued = optionsOf(command)
      .filter((option) => option.argChoices !== undefined)
      .map(
        (option) => `        ${flagsOf([option]).join("|")}) candidates="${(option.argChoices ?? []).join(" ")}" ;;\n`,
      );
    const operands = [
      choices.length > 0 ? `candidates="${choices.join(" ")}"` : undefined,
      references ? askFor("references") : undefined,
      snapshots ? askFor("snapshots") : undefined,
    ].filter((line) => line !== undefined);
    return `    ${command.name()})
      case $previous in
${valued.join("")}        ${valuedPattern(optionsOf(command))}) ;;
        *)
          case $current in
            -*) candidates="${flagsOf(optionsOf(command)).join(" ")}" ;;
            *) ${operands.join("; ") || ":"} ;;
          esac ;;
      esac ;;
`;
  });
  const names = program.commands.map((command) => command.name()).join(" ");
  return `  case $verb in
    '')
      case $previous in
        --root) ;;
        *)
          case $current in
            -*) candidates="${flagsOf(optionsOf(program)).join(" ")}" ;;
            *) candidates="${names} help" ;;
          esac ;;
      esac ;;
    help) candidates="${names}" ;;
${cases.join("")}  esac
`;
}

/** Finds the command and --root among \`before\`, the words before the one being completed. */
const FIND_VERB = `  local word skip= verb= previous= candidates=
  local -a root
  root=()
  for word in "\${before[@]}"; do
    if [ "$skip" = root ]; then root=(--root "$word"); skip=
    elif [ "$word" = --root ]; then skip=root
    else
      case $word in
        -*) ;;
        *) [ -n "$verb" ] || verb=$word ;;
      esac
    fi
    previous=$word
  done
`;

function bashScript(program: Command): string {
  return `# bash completion of layerctl
_layerctl() {
  # The line, not COMP_WORDS: bash breaks words at the colons of image names.
  local line=\${COMP_LINE:0:COMP_POINT}
  local current=\${line##*[[:space:]]}
  local before
  read -ra before <<< "\${line%"$current"}"
  before=("\${before[@]:1}")
${FIND_VERB}${sharedBody(program)}  local broken=\${current%"\${current##*[:=]}"}
  COMPREPLY=()
  for word in $candidates; do
    case $word in "$current"*) COMPREPLY+=("\${word#"$broken"}") ;; esac
  done
}
complete -o default -F _layerctl layerctl
`;
}

function zshScript(program: Command): string {
  return `#compdef layerctl
# zsh completion of layerctl
_layerctl() {
  local current=$PREFIX
  local -a before
  before=("\${(@)words[2,CURRENT-1]}")
${FIND_VERB}${sharedBody(program)}  local -a list
  list=(\${=candidates})
  compadd -a list || _files
}
# In a directory of $fpath this file is itself the function, run at the first completion.
if [[ $funcstack[1] == _layerctl ]]; then _layerctl; else compdef _layerctl layerctl; fi
`;
}

/** What the conditions of the fish script ask: which command is on the line, and what its names are. */
const FISH_FUNCTIONS = `# fish completion of layerctl
function __layerctl_words
    set -l verb
    set -l root
    set -l previous
    for word in (commandline -opc)[2..]
        if test "$previous" = --root
            set root --root $word
        else if test -z "$verb"; and not string match -q -- '-*' $word
            set verb $word
        end
        set previous $word
    end
    switch $argv[1]
        case verb
            echo $verb
        case root
            string join \\n -- $root
    end
end
function __layerctl_is
    set -l verb (__layerctl_words verb)
    test "$verb" = "$argv[1]"
end
function __layerctl_names
    layerctl (__layerctl_words root) completion $argv[1] 2>/dev/null
end
complete -c layerctl -f
`;

function fishScript(program: Command): string {
  const lines: string[] = [];
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const add = (verb: string, rest: string): void => {
    lines.push(`complete -c layerctl -n ${quote(`__layerctl_is ${quote(verb)}`)} ${rest}`);
  };
  const addOption = (verb: string, option: Option): void => {
    const short = option.short === undefined ? "" : `-s ${option.short.slice(1)} `;
    const long = option.long === undefined ? "" : `-l ${option.long.slice(2)} `;
    const choices = option.argChoices === undefined ? "" : `-x -a ${quote(option.argChoices.join(" "))} `;
    const value = choices || (option.required ? "-r -F " : "");
    add(verb, `${short}${long}${value}-d ${quote(option.description)}`);
  };
  for (const option of optionsOf(program)) addOption("", option);
  for (const command of program.commands) {
    const name = command.name();
    for (const verb of ["", "help"]) add(verb, `-a ${name} -d ${quote(command.summary())}`);
    const { references, snapshots } = operandKinds(command);
    const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
    if (choices.length > 0) add(name, `-a ${quote(choices.join(" "))}`);
    if (references) add(name, "-a '(__layerctl_names references)'");
    if (snapshots) add(name, "-a '(__layerctl_names snapshots)'");
    if (command.registeredArguments.some((argument) => /source|target/.test(argument.name()))) add(name, "-F");
    for (const option of optionsOf(command)) addOption(name, option);
  }
  add("", "-a help -d 'Show the help of a command'");
  return `${FISH_FUNCTIONS}${lines.join("\n")}\n`;
}
