/**
 * Writes the types of the library: dist/library.d.ts, in one file, and docs/library.api.md, the report of all that is
 * exported. A change of the report is a change of what programs rely on, so a test compares it: run `npm run api`, look at
 * what changed, and commit it with the change that it comes from.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Extractor, ExtractorConfig, ExtractorLogLevel } from "@microsoft/api-extractor";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const REPORT = "library.api.md";

export interface LibraryTypes {
  /** The declarations of everything that is exported, in one file. */
  readonly declarations: string;
  readonly report: string;
}

/** @throws an error with what the compiler or the extractor says */
export function libraryTypes(): LibraryTypes {
  const work = mkdtempSync(join(tmpdir(), "layerctl-types-"));
  try {
    symlinkSync(join(root, "node_modules"), join(work, "node_modules"));
    emitDeclarations(work);
    return extract(work);
  } finally {
    rmSync(work, { recursive: true });
  }
}

function emitDeclarations(work: string): void {
  const options = ["--declaration", "--emitDeclarationOnly", "--noEmit", "false", "--outDir", work];
  const config = join(work, "tsconfig.json");
  const files = [join(root, "layers/library/index.ts")];
  const typeRoots = [join(root, "node_modules/@types")];
  const compilerOptions = { rootDir: root, typeRoots, types: ["node"], rewriteRelativeImportExtensions: true };
  writeFileSync(config, JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions, files, include: [] }));
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status, stdout } = spawnSync(process.execPath, [tsc, "-p", config, ...options], { encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot write declarations: ${stdout}`);
}

function extract(work: string): LibraryTypes {
  const reports = join(work, "report");
  mkdirSync(reports);
  const config = ExtractorConfig.prepare({
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, "package.json"),
    configObject: {
      projectFolder: root,
      mainEntryPointFilePath: join(work, "layers/library/index.d.ts"),
      newlineKind: "lf",
      compiler: {
        overrideTsconfig: {
          compilerOptions: { lib: ["esnext"], types: ["node"], moduleResolution: "nodenext", module: "nodenext" },
        },
      },
      apiReport: { enabled: true, reportFileName: REPORT, reportFolder: reports, reportTempFolder: reports },
      docModel: { enabled: false },
      dtsRollup: { enabled: true, untrimmedFilePath: join(work, "library.d.ts") },
      tsdocMetadata: { enabled: false },
      messages: {
        compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
        extractorMessageReporting: {
          default: { logLevel: ExtractorLogLevel.Error },
          "ae-missing-release-tag": { logLevel: ExtractorLogLevel.None },
          "ae-undocumented": { logLevel: ExtractorLogLevel.None }, // many fields say all with their names
        },
        tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      },
    },
  });
  const messages: string[] = [];
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    showVerboseMessages: false,
    messageCallback: (message) => {
      if (message.logLevel === "error") messages.push(message.formatMessageWithLocation(root));
      message.handled = true;
    },
  });
  if (!succeeded) throw new Error(`Cannot describe the library:\n${messages.join("\n")}`);
  return {
    declarations: readFileSync(join(work, "library.d.ts"), "utf8"),
    report: readFileSync(join(reports, REPORT), "utf8"),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { declarations, report } = libraryTypes();
  mkdirSync(join(root, "dist"), { recursive: true });
  writeFileSync(join(root, "dist/library.d.ts"), declarations);
  writeFileSync(join(root, "docs", REPORT), report);
}
