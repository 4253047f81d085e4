/** What the debugger shows of a KSM page. */
import { expect, it } from 'vitest';
import { openSession } from '../../../src/debugger/open.ts';
import type { Session } from '../../../src/debugger/session.ts';

const scenario = `
A: p = mmap(NULL, 3p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 7, 3p)
A: madvise(p, 3p, MADV_MERGEABLE)
ksmd: ksm_scan(3)
A: store(p+1p, 1)
`;

function run(session: Session, line: string): string {
  session.execute(line);
  while (session.pump(50_000) === 'running') {}
  return session
    .takeOutput()
    .map((each) => each.text)
    .join('\n');
}

it('lists the items of a KSM page, and which of them are stale', () => {
  const session = openSession(scenario, { file: 'ksm.mm' });
  if ('errors' in session) throw new Error(session.errors.map((e) => e.message).join('\n'));
  run(session, 'continue');
  const text = run(session, 'rmap A p') + run(session, 'info page');
  const addresses = session
    .mms()
    .flatMap((mm) => mm.vmas)
    .map(({ start }) => [start, start + 4096, start + 8192])[0] as number[];
  const page = session.page();
  const items = [...(page?.items ?? [])].sort((a, b) => a.address - b.address);
  expect(items.map(({ address }) => address)).toEqual(addresses);
  expect(items.map(({ process }) => process)).toEqual(['A', 'A', 'A']);
  expect(items.map(({ stale }) => stale)).toEqual([false, true, false]);
  expect(page?.mappings.map(({ address }) => address)).toEqual([addresses[0], addresses[2]]);
  for (const { address, stale } of items) {
    expect(text).toContain(`ksm item of A at 0x${address.toString(16)} by anon_vma`);
    if (stale) expect(text).toContain(', stale');
  }
  // The row of the page says how many; a page that is none has none.
  const row = session.pages(0, 1000, 'ksm').rows[0];
  expect(row?.notes).toContain('items 3');
  run(session, 'rmap A p+1p');
  expect(session.page()?.items).toEqual([]);
});
