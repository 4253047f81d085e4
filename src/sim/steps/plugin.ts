/** Wires the step transform into Vite: the production bundle and Vitest use the same plugin. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { generatorNames, type Mode, transform } from './transform.ts';

const simDir = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const linuxDir = path.resolve(simDir, '../linux');
const waitFile = path.join(simDir, 'wait.ts');

function kernelFiles(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .sort();
}

export interface KernelStepsOptions {
  /** Further directories of kernel source: the small kernels of tests and benchmarks. */
  readonly extra?: readonly string[];
}

/**
 * `import './vma.ts'` gives the step build; `import './vma.ts?fast'` the synchronous build of the
 * same file and of every kernel file it imports. Both share one sim and the files without kernel
 * functions (structs, tracepoints, constants).
 */
export function kernelSteps(options: KernelStepsOptions = {}): Plugin {
  const extra = (options.extra ?? []).map((dir) => path.resolve(dir));
  const directories = [linuxDir, ...extra];
  /** Names that need `yield*`, for the files below each directory: its own and those of src/linux. */
  let generators: ReadonlyMap<string, ReadonlySet<string>> | null = null;
  const withFunctions = new Set<string>();

  const scan = (files: readonly string[]): string[] =>
    files.flatMap((file) => {
      const code = readFileSync(file, 'utf8');
      if (/function\s*\*/.test(code)) withFunctions.add(file);
      return [...generatorNames(code, file)];
    });
  const scanAll = (): ReadonlyMap<string, ReadonlySet<string>> => {
    withFunctions.clear();
    const linux = scan([...kernelFiles(linuxDir), waitFile]);
    return new Map([
      [linuxDir, new Set(linux)],
      ...extra.map((dir) => [dir, new Set([...linux, ...scan(kernelFiles(dir))])] as const),
    ]);
  };
  const known = (directory: string): ReadonlySet<string> => {
    generators ??= scanAll();
    return generators.get(directory) ?? new Set();
  };

  return {
    name: 'rmapdbg:kernel-steps',
    enforce: 'pre',
    watchChange() {
      generators = null;
    },
    async resolveId(source, importer, options) {
      const wantsFast = source.endsWith('?fast');
      const fromFast = importer?.endsWith('?fast') === true;
      if (!wantsFast && !fromFast) return null;
      const bare = wantsFast ? source.slice(0, -'?fast'.length) : source;
      const from = fromFast ? importer?.slice(0, -'?fast'.length) : importer;
      const resolved = await this.resolve(bare, from, { ...options, skipSelf: true });
      if (resolved === null) return null;
      known(linuxDir);
      // A file without kernel functions is shared, so that its structs exist once, unless it is asked
      // for by name: a table of kernel functions must be filled with those of one build.
      return wantsFast || withFunctions.has(resolved.id) ? `${resolved.id}?fast` : resolved.id;
    },
    load(id) {
      return id.endsWith('?fast') ? readFileSync(id.slice(0, -'?fast'.length), 'utf8') : null;
    },
    transform(code, id) {
      const mode: Mode = id.endsWith('?fast') ? 'fast' : 'step';
      const file = mode === 'fast' ? id.slice(0, -'?fast'.length) : id;
      const runtime = file === waitFile;
      const directory = directories.find((dir) => file.startsWith(dir + path.sep));
      if (!runtime && directory === undefined) return null;
      const result = transform(code, file, {
        mode,
        runtime,
        shown: path.relative(directory ?? linuxDir, file).replaceAll(path.sep, '/'),
        generators: known(directory ?? linuxDir),
        sim: simDir,
      });
      return { code: result.code, map: result.map };
    },
  };
}
