/** What leads from a page to its mappings, as views show it on the kernels before 2.6.9. */
import { expect, test } from 'vitest';
import { mappingsOf, viaOf } from '../../../src/debugger/inspect/mappings.ts';
import { looking } from '../../../src/debugger/inspect/objects.ts';
import { bootMachine } from '../../../src/linux/boot.ts';
import { mmOfTask } from '../../../src/linux/describe.ts';
import { selectKernel } from '../../../src/linux/kernels.ts';
import { lookupPte, pte_pfn, ptep_get } from '../../../src/linux/mm/pgtable.ts';
import type { mm_struct } from '../../../src/linux/mm_types.ts';
import { call, spawnInit } from '../driver.ts';

const PAGE = 4096;
const AT = 0x10_0000_0000;

test.each([
  ['v2.6.0', /^pte_chain/, /^PG_direct$/],
  ['v2.6.6-anonmm', /^anonmm/, /^anonmm/],
  ['v2.6.5-aa', /^anon_vma/, /^anon_vma/],
  ['v2.6.7', /^anon_vma/, /^anon_vma/],
])('%s: a shared page by %s, one of its own by %s', (kernel, both, own) => {
  const m = bootMachine({ kernel: selectKernel(kernel), memoryPages: 1024, swapPages: 16 });
  const a = spawnInit(m, 'A');
  call(m, a, 'mmap', [AT, 2 * PAGE, 3, 0x32, -1, 0]);
  call(m, a, 'store', [AT, 1, 2 * PAGE]);
  call(m, a, 'fork');
  call(m, a, 'store', [AT + PAGE, 2]);
  const viasOf = (address: number): string[] =>
    looking(m, () => {
      const mm = mmOfTask(m, a) as mm_struct;
      const pfn = pte_pfn(ptep_get(lookupPte(mm, address)));
      return mappingsOf(pfn).map((mapping) => viaOf(pfn, mapping));
    });
  const shared = viasOf(AT);
  expect(shared).toHaveLength(2);
  for (const via of shared) expect(via).toMatch(both);
  const [via, ...others] = viasOf(AT + PAGE);
  expect(others).toEqual([]);
  expect(via).toMatch(own);
});
