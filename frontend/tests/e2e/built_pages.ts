/** Pages that are built as their authors build them, from the documents' snippets or an example's folder, and served from an
 * origin of their own. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, preview, type PreviewServer } from "vite";
import { vi } from "vitest";

export const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
/** The hub in documents and examples. */
export const HUB = "http://127.0.0.1:8000";

export class BuiltPage {
  readonly folder: string;
  readonly url: string;
  readonly #server: PreviewServer;

  private constructor(folder: string, server: PreviewServer) {
    this.folder = folder;
    this.#server = server;
    this.url = server.resolvedUrls?.local[0] ?? "";
  }

  /** Builds an example with these files of its own or in place of the example's. Its packages are those of the tests, unless
   * `install` puts others into the folder. */
  static async from(
    example: string,
    hub: string,
    files: Readonly<Record<string, string>> = {},
    install: (folder: string) => void = useTestedPackages,
  ): Promise<BuiltPage> {
    const root = mkdtempSync(join(tmpdir(), "plancast-page-"));
    const isOwn = (path: string) => !/[\\/](?:node_modules|dist)$/.test(path);
    cpSync(join(ROOT, "examples", example), root, { recursive: true, filter: isOwn });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text);
    for (const name of readdirSync(root).filter((each) => /\.tsx?$/.test(each))) {
      const text = readFileSync(join(root, name), "utf8");
      writeFileSync(join(root, name), text.replaceAll(HUB, hub));
    }
    install(root);
    vi.stubEnv("NODE_ENV", "production");
    await build({ root, configFile: false, logLevel: "error" });
    vi.unstubAllEnvs();
    const server = await preview({ root, configFile: false, preview: { port: 0, host: "127.0.0.1" } });
    return new BuiltPage(root, server);
  }

  /** Lets a page in another folder use the packages of this one. */
  readonly lend = (folder: string): void =>
    symlinkSync(join(this.folder, "node_modules"), join(folder, "node_modules"));

  async close(): Promise<void> {
    await this.#server.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function useTestedPackages(folder: string): void {
  symlinkSync(join(ROOT, "frontend/node_modules"), join(folder, "node_modules"));
}

/** The snippets of this language in a document, in order. */
export function snippets(document: string, language: string): readonly string[] {
  const text = readFileSync(join(ROOT, "docs/clients", document), "utf8");
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))].map(
    ([, snippet]) => snippet ?? "",
  );
}

export function example(path: string): string {
  return readFileSync(join(ROOT, "examples", path), "utf8");
}
