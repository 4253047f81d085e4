/** The house rules that no compiler or linter holds. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '..');

function filesBelow(directory: string, pattern: RegExp): string[] {
  const top = path.join(root, directory);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort();
}

const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');
const sources = filesBelow('src', /\.tsx?$/);
const tests = filesBelow('test', /\.tsx?$/);

/** Code with comments and the contents of plain strings blanked, line by line as before. */
function withoutComments(code: string): string {
  return code
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|[^:])\/\/.*$/gm, '$1');
}

/** `file:line: text` of each line that matches. */
function found(files: readonly string[], pattern: RegExp, clean = withoutComments): string[] {
  return files.flatMap((file) =>
    clean(read(file))
      .split('\n')
      .flatMap((line, n) => (pattern.test(line) ? [`${file}:${n + 1}: ${line.trim()}`] : [])),
  );
}

test('no clock and no chance below cli', () => {
  const below = sources.filter((f) => !f.startsWith('src/cli/') && !f.startsWith('src/sim/steps/'));
  expect(found(below, /\bMath\.random\b|\bcrypto\b/)).toEqual([]);
  const pure = below.filter((f) => !f.startsWith('src/tui/'));
  expect(
    found(pure, /\bperformance\.|\bDate\b|\bIntl\b|\bsetTimeout\b|\bprocess\.(env|hrtime)/),
  ).toEqual([]);
});

test('nothing is left for later, and no test is left alone or out', () => {
  const all = [...sources, ...tests].filter((f) => f !== 'test/tidy.test.ts');
  expect(found(all, /\b(TODO|FIXME|XXX|HACK)\b/, (code) => code)).toEqual([]);
  expect(found(tests, /\b(test|it|describe)\.(only|skip|todo)\b/)).toEqual([]);
});

test('the top level has the entries it is documented to have', () => {
  const allowed = new Set([
    'LICENSE',
    'README.md',
    'bin',
    'docs',
    'package-lock.json',
    'package.json',
    'scenarios',
    'src',
    'test',
    'tsconfig.json',
    // Made, and ignored by git.
    'dist',
    'node_modules',
  ]);
  const entries = readdirSync(root).filter((name) => !name.startsWith('.'));
  expect(entries.filter((name) => !allowed.has(name))).toEqual([]);
});

const kernelFile = /\b(mm|kernel|fs|include|arch|lib|ipc|init|security|tools)\/[\w./*{},-]+/;

test('each exported kernel function says which one of Linux it is, or that it is custom', () => {
  const silent = filesBelow('src/linux', /\.ts$/).flatMap((file) => {
    const code = read(file);
    const head = /^\/\*\*[\s\S]*?\*\//.exec(code)?.[0] ?? '';
    const headNames = kernelFile.test(head) || /custom|\bstruct \w+ v\d/i.test(head);
    return [
      ...code.matchAll(/(\/\*\*(?:(?!\*\/)[\s\S])*\*\/\s*)?export function\s*\*\s*(\w+)/g),
    ].flatMap(([, doc = '', name = '']) => {
      const says = kernelFile.test(doc) || /custom/i.test(doc) || (headNames && doc.length > 12);
      return says ? [] : [`${file}: ${name}`];
    });
  });
  expect(silent).toEqual([]);
});

test('each file of src begins by saying what it is for', () => {
  const mute = sources.filter((f) => {
    const code = read(f);
    return (
      code.split('\n').length > 40 &&
      !/^(#!.*\n)?\/\*\*/.test(code) &&
      !/\/\*\*/.test(code.slice(0, 3000))
    );
  });
  expect(mute).toEqual([]);
});

/** Files that mirror one of Linux several thousand lines long, and may not grow any further. */
const mirrors: Readonly<Record<string, number>> = {
  'src/linux/mm/vma.ts': 760,
};

test('no file grows past 700 lines', () => {
  const long = sources
    .map((file) => ({ file, lines: read(file).split('\n').length }))
    .filter(({ file, lines }) => lines > (mirrors[file] ?? 700))
    .map(({ file, lines }) => `${file}: ${lines} lines`);
  expect(long).toEqual([]);
});

test('the index of scenarios names each of them', () => {
  const index = path.join(root, 'scenarios/README.md');
  if (!existsSync(index)) return;
  const text = readFileSync(index, 'utf8');
  const missing = filesBelow('scenarios', /\.(mm|strace|faults)$/)
    .map((file) => path.relative('scenarios', file))
    .filter((file) => !text.includes(file) && !text.includes(path.basename(file)));
  expect(missing).toEqual([]);
});

test('rooms keep to their directions', () => {
  const forbidden: Readonly<Record<string, RegExp>> = {
    base: /from '\.\.\//,
    sim: /\/(linux|check|scenario|explore|conform|debugger|tui|cli)\//,
    linux: /\/(check|scenario|explore|conform|debugger|tui|cli)\//,
    check: /\/(scenario|explore|conform|debugger|tui|cli)\//,
    scenario: /\/(check|explore|conform|debugger|tui|cli)\//,
    conform: /\/(explore|debugger|tui|cli)\//,
    debugger: /\/(tui|cli)\//,
    tui: /\/(linux|sim|check|scenario|explore|conform|cli)\//,
  };
  const wrong = Object.entries(forbidden).flatMap(([room, pattern]) =>
    filesBelow(`src/${room}`, /\.tsx?$/).flatMap((file) =>
      [...read(file).matchAll(/from '(\.[^']+)'/g)].flatMap(([text, target = '']) => {
        const full = `/${path.relative(path.join(root, 'src'), path.resolve(root, path.dirname(file), target))}`;
        const hit = room === 'base' ? pattern.test(text) : pattern.test(full);
        return hit ? [`${file}: ${text}`] : [];
      }),
    ),
  );
  expect(wrong).toEqual([]);
});
