/** Wires the step transform into Vite: the production bundle and Vitest use the same plugin. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Plugin } from 'vite';
import { KernelNames } from './names.ts';
import { type Mode, transform } from './transform.ts';

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
 * same file and of every file it imports that has or imports kernel functions. Both share one sim and the
 * other files (structs, tracepoints, constants, plain functions).
 */
export function kernelSteps(options: KernelStepsOptions = {}): Plugin {
  const extra = (options.extra ?? []).map((dir) => path.resolve(dir));
  const directories = [linuxDir, ...extra];
  let scanned: KernelNames | null = null;
  const known = (): KernelNames => {
    if (scanned === null) {
      const files = [...directories.flatMap(kernelFiles), waitFile];
      const code = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]));
      scanned = new KernelNames(code, waitFile);
    }
    return scanned;
  };

  return {
    name: 'rmapdbg:kernel-steps',
    enforce: 'pre',
    watchChange() {
      scanned = null;
    },
    async resolveId(source, importer, options) {
      const wantsFast = source.endsWith('?fast');
      const fromFast = importer?.endsWith('?fast') === true;
      if (!wantsFast && !fromFast) return null;
      const bare = wantsFast ? source.slice(0, -'?fast'.length) : source;
      const from = fromFast ? importer?.slice(0, -'?fast'.length) : importer;
      const resolved = await this.resolve(bare, from, { ...options, skipSelf: true });
      if (resolved === null) return null;
      // The rest is shared, so that its structs exist once, unless it is asked for by name.
      return wantsFast || known().isPerBuild(resolved.id) ? `${resolved.id}?fast` : resolved.id;
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
        generators: known().generatorsIn(file),
        members: known().members,
        perBuild: known().isPerBuild(file),
        sim: simDir,
      });
      return { code: result.code, map: result.map };
    },
  };
}
