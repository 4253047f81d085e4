/** The documents that are made from the program, and what the others say of it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { findingKinds, isFindingKind } from '../src/check/kinds.ts';
import { featureDocs, kernelNames } from '../src/linux/kernels.ts';
import { engineKinds, generatedPages, reportersOf, root } from './docs/generated.ts';

const update = process.env.UPDATE_DOCS === '1';
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

describe('docs/generated', () => {
  const pages = generatedPages();
  if (update) {
    mkdirSync(path.join(root, 'docs/generated'), { recursive: true });
    for (const [file, text] of pages) writeFileSync(path.join(root, file), text);
  }

  test.each([...pages.keys()])('%s is what the program says (else: npm run docs)', (file) => {
    expect(existsSync(path.join(root, file)) ? read(file) : '').toBe(pages.get(file));
  });

  test('holds nothing else', () => {
    const files = readdirSync(path.join(root, 'docs/generated')).map((f) => `docs/generated/${f}`);
    expect(files.sort()).toEqual([...pages.keys()]);
  });

  test('names every kind that the engine reports', () => {
    expect(engineKinds().length).toBeGreaterThan(8);
    expect(engineKinds().filter((kind) => !isFindingKind(kind))).toEqual([]);
  });

  test('knows who reports each kind', () => {
    const reporters = reportersOf(['sim', 'linux', 'debugger', 'check']);
    expect(Object.keys(findingKinds).filter((kind) => !reporters.has(kind))).toEqual([]);
  });
});

describe('documents', () => {
  const documents = [
    'README.md',
    'scenarios/README.md',
    ...readdirSync(path.join(root, 'docs'), { recursive: true, encoding: 'utf8' })
      .filter((f) => f.endsWith('.md'))
      .map((f) => `docs/${f}`)
      .sort(),
  ];

  test.each(documents)('%s links only to what there is', (document) => {
    const targets = [...read(document).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter((target) => !/^[a-z]+:/.test(target));
    const lost = targets.filter(
      (target) => !existsSync(path.resolve(root, path.dirname(document), target)),
    );
    expect(lost).toEqual([]);
  });
});

test('docs/GENERATIONS.md has each kernel and each feature', () => {
  const text = read('docs/GENERATIONS.md');
  for (const name of kernelNames()) expect(text).toContain(`| \`${name}\` |`);
  for (const [name, doc] of Object.entries(featureDocs)) {
    expect(text).toContain(`| \`${name}\` | ${doc} |`);
  }
});

describe('docs/FIDELITY.md', () => {
  const text = read('docs/FIDELITY.md');
  const files = readdirSync(path.join(root, 'src/linux'), { recursive: true, encoding: 'utf8' })
    .filter((f) => f.endsWith('.ts'))
    .sort();

  test('names functions that there are', () => {
    const code = files.map((f) => read(`src/linux/${f}`)).join('\n');
    const names = [...text.matchAll(/`(\w+)\(\)`/g)].map((match) => match[1] ?? '');
    const lost = names.filter((name) => !new RegExp(`function\\s*\\*?\\s*${name}\\b`).test(code));
    expect(lost).toEqual(['write']);
  });

  test('names files that there are, and each that mirrors one of Linux', () => {
    const named = [...text.matchAll(/`([\w/-]+\.ts)`/g)].map((match) => match[1] ?? '');
    expect(named.filter((f) => !files.includes(f) && !f.startsWith('test/'))).toEqual([]);
    const silent = files.filter((f) => {
      const isFunctions = /^export function/m.test(read(`src/linux/${f}`));
      const isListed =
        named.includes(f) ||
        (f.startsWith('kernel/locking/') && text.includes('kernel/locking/*.ts'));
      return isFunctions && !isListed && /^(mm|kernel|fs|lib)\//.test(f);
    });
    expect(silent, 'files that FIDELITY.md must name').toEqual([]);
  });
});
