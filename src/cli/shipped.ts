/** The scenarios folder that comes with the program. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadScenario } from '../scenario/load.ts';

export interface ShippedScenario {
  /** As a user can name it from the current directory. */
  readonly path: string;
  readonly title: string;
  readonly about: string;
}

// dist/cli.js and src/cli/shipped.ts both stand below the folder that holds scenarios/.
const root = fileURLToPath(new URL('../scenarios', import.meta.url));

/** Longer logs are only named, not read, when they are listed. */
const headBytes = 4096;

/** In the order of reading: tour, then the rest by name. */
export function shippedScenarios(): readonly ShippedScenario[] {
  const files = readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.(mm|strace)$/.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name));
  const rank = (file: string): string =>
    file.includes(`${path.sep}tour${path.sep}`) ? `0${file}` : `1${file}`;
  files.sort((a, b) => rank(a).localeCompare(rank(b), 'en', { numeric: true }));
  return files.map((file) => {
    const shown = path.relative(process.cwd(), file) || file;
    if (file.endsWith('.strace')) {
      return {
        path: shown,
        title: `${path.basename(file, '.strace')} (recorded with strace -f)`,
        about: '',
      };
    }
    const { scenario } = loadScenario(readFileSync(file, 'utf8').slice(0, headBytes), { file });
    return {
      path: shown,
      title: scenario.header.title?.text ?? path.basename(file),
      about: scenario.header.about.map((line) => line.text).join(' '),
    };
  });
}
