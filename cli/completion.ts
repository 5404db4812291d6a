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

/** The body of the function that bash and zsh share: it sets `words` from the line and fills `candidates`. */
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
      references ? 'candidates="$candidates $(layerctl $root completion references 2>/dev/null)"' : undefined,
      snapshots ? 'candidates="$candidates $(layerctl $root completion snapshots 2>/dev/null)"' : undefined,
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
            *) candidates="${names}" ;;
          esac ;;
      esac ;;
${cases.join("")}  esac
`;
}

/** Finds the command and --root among \`words\`, the words before the one being completed. */
const FIND_VERB = `  local word skip= verb= root= previous= candidates=
  for word in "\${words[@]}"; do
    if [ "$skip" = root ]; then root="--root $word"; skip=
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
  local words
  read -ra words <<< "\${line%"$current"}"
  words=("\${words[@]:1}")
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
  emulate -L zsh -o sh_word_split
  local current=$PREFIX
  local -a words
  words=("\${(@)words[2,CURRENT-1]}")
${FIND_VERB}${sharedBody(program)}  local -a list
  list=($candidates)
  if (( \${#list} )); then compadd -a list; else _files; fi
}
compdef _layerctl layerctl
`;
}

function fishScript(program: Command): string {
  const lines = ["# fish completion of layerctl", "complete -c layerctl -f"];
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const addOption = (condition: string, option: Option): void => {
    const short = option.short === undefined ? "" : ` -s ${option.short.slice(1)}`;
    const long = option.long === undefined ? "" : ` -l ${option.long.slice(2)}`;
    const choices = option.argChoices === undefined ? "" : ` -x -a ${quote(option.argChoices.join(" "))}`;
    const value = choices || (option.required ? " -r -F" : "");
    lines.push(`complete -c layerctl -n ${quote(condition)}${short}${long}${value} -d ${quote(option.description)}`);
  };
  for (const option of optionsOf(program)) addOption("__fish_use_subcommand", option);
  for (const command of program.commands) {
    const seen = `__fish_seen_subcommand_from ${command.name()}`;
    const { references, snapshots } = operandKinds(command);
    const choices = command.registeredArguments.flatMap((argument) => argument.argChoices ?? []);
    lines.push(
      `complete -c layerctl -n __fish_use_subcommand -a ${command.name()} -d ${quote(command.summary())}`,
      ...(choices.length > 0 ? [`complete -c layerctl -n ${quote(seen)} -a ${quote(choices.join(" "))}`] : []),
      ...(references
        ? [`complete -c layerctl -n ${quote(seen)} -a '(layerctl completion references 2>/dev/null)'`]
        : []),
      ...(snapshots ? [`complete -c layerctl -n ${quote(seen)} -a '(layerctl completion snapshots 2>/dev/null)'`] : []),
      ...(command.registeredArguments.some((argument) => /source|target/.test(argument.name()))
        ? [`complete -c layerctl -n ${quote(seen)} -F`]
        : []),
    );
    for (const option of optionsOf(command)) addOption(seen, option);
  }
  return `${lines.join("\n")}\n`;
}
