/** Huge pages as the debugger shows them: mapped by one entry, page by page, pinned. */
import { describe, expect, test } from 'vitest';
import { openSession } from '../../../src/debugger/open.ts';
import type { Session } from '../../../src/debugger/session.ts';

const scenario = `
title huge
config memory=64M
A: p = mmap(0x40000000, 4M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
A: madvise(p, 4M, MADV_HUGEPAGE)
A: store(p, 1)
A: store(p+2M, 1)
A: B = fork()
B: store(p+2M+4p, 2)
kernel: pin(B, p+2M+4p)
A: munmap(p+3M, 4K)
A: store(p+1M, 5)
A: q = mmap(0x60000000, 2M, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_FIXED, -1, 0)
`;

function run(): Session {
  const session = openSession(scenario, { file: 'huge.mm', seed: 0, stopOnFinding: false });
  if ('errors' in session) throw session.errors[0];
  session.execute('continue');
  while (session.pump(1_000_000) === 'running');
  expect(session.failures).toBe(0);
  expect(session.findings()).toEqual([]);
  session.takeOutput();
  return session;
}

/** What `print` says about an expression. */
function printer(session: Session): (expression: string) => string {
  return (expression) => {
    session.execute(`print ${expression}`);
    const text = session.takeOutput().at(-1)?.text ?? '';
    return text.slice(text.indexOf(' = ') + 3);
  };
}

describe('expressions', () => {
  test('count the mappings of one page of a huge page: its own entries and the huge ones', () => {
    const print = printer(run());
    // B still has the first block by one entry; A split its own and copied the page at 1M.
    for (const address of ['p', 'p+3p', 'p+2M+4K']) {
      expect(print(`mapcount(page(B, ${address}))`)).toBe('2');
      expect(print(`mappings(page(B, ${address}))`)).toBe('2');
      expect(print(`page(B, ${address}).mapcount`)).toBe('2');
    }
    expect(print('mapcount(page(B, p+1M))')).toBe('1');
    expect(print('mapcount(page(B, p+2M+4p))')).toBe('1');
  });

  test('give a page of a huge page what belongs to all of it', () => {
    const print = printer(run());
    // 511 of A and one of B.
    expect(print('page(B, p+3p).large_mapcount')).toBe('512');
    expect(print('page(B, p+3p).entire_mapcount')).toBe('1');
    expect(print('page(B, p+3p).refcount')).toBe('512');
    expect(print('page(B, p+3p).order')).toBe('9');
    expect(print('page(B, p+3p).folio == page(B, p)')).toMatch(/true|1/);
    expect(print('page(B, p+3p).pgoff == page(B, p).pgoff + 3')).toMatch(/true|1/);
    expect(print('page(B, p+3p).swapbacked')).toMatch(/true|1/);
    // Of a single page.
    expect(print('page(B, p+2M+4p).order')).toBe('0');
    expect(print('page(B, p+2M+4p).large_mapcount')).toBe('0');
  });
});

describe('vtop', () => {
  test('ends at the huge entry, and tells the folio from its page', () => {
    const { inspector } = run();
    const lines = inspector.vtop('B', 0x40003000).join('\n');
    expect(lines).toMatch(/PMD {2}\[0\] pfn \w+ .*PSE/);
    expect(lines).not.toContain('PTE');
    expect(lines).toMatch(/PAGE folio\._large_mapcount = 511\n/);
    expect(lines).toMatch(/PAGE folio\._entire_mapcount = 0\n/);
    expect(lines).not.toContain('lru_next');
  });

  test('of one that is mapped page by page ends at a PTE', () => {
    const { inspector } = run();
    const lines = inspector.vtop('A', 0x40003000).join('\n');
    expect(lines).toMatch(/PTE {2}\[3\] pfn/);
    expect(inspector.rmap('A', 0x40003000)[0]).toMatch(/: 2 mappings$/);
  });
});

describe('the migration entry of a huge page', () => {
  /** Stopped behind the step that made it; the whole migration is still to come. */
  function moving(): Session {
    const session = openSession(`${scenario}\nkernel: migrate(B, p)\n`, {
      file: 'huge.mm',
      seed: 0,
      stopOnFinding: false,
    });
    if ('errors' in session) throw session.errors[0];
    session.execute('break migrate:set_migration_pmd');
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
    session.takeOutput();
    return session;
  }

  test('is where the translation ends, and names the folio', () => {
    const { inspector } = moving();
    const lines = inspector.vtop('B', 0x40003000).join('\n');
    expect(lines).toMatch(/PMD {2}\[0\] migrating pfn \w+ MIGRATION read DIRTY\n/);
    expect(lines).toMatch(/\n {2}migration migrating pfn/);
    expect(lines).not.toContain('PTE');
    expect(inspector.memory('B', 0x40003000, 1).join('\n')).toMatch(/not present: migrating pfn/);
  });

  test('is no mapping', () => {
    const print = printer(moving());
    expect(print('pte(B, p+3p).migration')).toMatch(/true|1/);
    expect(print('pte(B, p+3p).present')).toMatch(/false|0/);
    expect(print('pte(B, p).page.entire_mapcount')).toBe('0');
    expect(print('mapcount(pte(B, p).page)')).toBe(print('mappings(pte(B, p).page)'));
  });
});
