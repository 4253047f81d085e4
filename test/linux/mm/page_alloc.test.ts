import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { NR_PAGE_ORDERS } from '../../../src/linux/mm/mmzone_types.ts';
import { NODE_DATA } from '../../../src/linux/mm/node.ts';
import { folio_alloc, folio_get, mem_init, ZERO_PFN } from '../../../src/linux/mm/page_alloc.ts';
import { PG_buddy } from '../../../src/linux/mm/page-flags.ts';
import { folio_put } from '../../../src/linux/mm/swap.ts';
import { nr_free_pages } from '../../../src/linux/mm/watermark.ts';
import { type folio, mem_map } from '../../../src/linux/mm_types.ts';
import { read_heap } from '../../../src/sim/cpu.ts';
import { Machine } from '../../../src/sim/machine.ts';

function boot(frames: number): Machine {
  const machine = new Machine({
    frames,
    kernel: null,
    start: () => {
      throw new Error('no operations');
    },
    boot: mem_init,
  });
  machine.activate();
  return machine;
}

/** Frames on the free lists, after checking every list. */
function freeFrames(): Set<number> {
  const node = NODE_DATA();
  const free = new Set<number>();
  for (let order = 0; order < NR_PAGE_ORDERS; order++) {
    const list = node.free_area + order * 3;
    let count = 0;
    let previous = 0;
    for (let link = read_heap(list); link !== 0; link = mem_map.at(link - 1).lru_next) {
      const block = mem_map.at(link - 1);
      expect(block.lru_prev).toBe(previous);
      expect(block.flags & PG_buddy).toBe(PG_buddy);
      expect(block.private).toBe(order);
      expect(block.pfn % (1 << order)).toBe(0);
      for (let i = 0; i < 1 << order; i++) {
        expect(free.has(block.pfn + i)).toBe(false);
        free.add(block.pfn + i);
      }
      previous = link;
      count++;
    }
    expect(read_heap(list + 1)).toBe(previous);
    expect(read_heap(list + 2)).toBe(count);
  }
  return free;
}

describe('mem_init', () => {
  test.each([1, 2, 3, 64, 1000, 1024, 5000])('gives all of %i frames but the zero page', (n) => {
    boot(n);
    const free = freeFrames();
    expect(free.size).toBe(n - 1);
    expect(free.has(ZERO_PFN)).toBe(false);
    expect(nr_free_pages()).toBe(n - 1);
  });
});

describe('folio_alloc', () => {
  test('never hands out a frame twice, and merges all blocks back', () => {
    boot(3000);
    const blocks = (): number[] => {
      const node = NODE_DATA();
      return Array.from({ length: NR_PAGE_ORDERS }, (_, order) =>
        read_heap(node.free_area + order * 3 + 2),
      );
    };
    const atBoot = blocks();
    const prng = new Prng(7);
    const held: { folio: folio; order: number }[] = [];
    const used = new Set<number>();
    for (let i = 0; i < 4000; i++) {
      if (prng.below(5) < 3) {
        const order = prng.below(8) === 0 ? prng.below(6) : 0;
        const folio = folio_alloc(order);
        if (folio === null) continue;
        expect(folio._refcount).toBe(1);
        expect(folio._mapcount).toBe(-1);
        for (let k = 0; k < 1 << order; k++) {
          expect(used.has(folio.pfn + k)).toBe(false);
          used.add(folio.pfn + k);
        }
        held.push({ folio, order });
      } else if (held.length > 0) {
        const [gone] = held.splice(prng.below(held.length), 1);
        if (gone === undefined) continue;
        for (let k = 0; k < 1 << gone.order; k++) used.delete(gone.folio.pfn + k);
        folio_put(gone.folio);
      }
      if (i % 500 === 0) {
        const free = freeFrames();
        expect(free.size + used.size).toBe(2999);
        for (const pfn of used) expect(free.has(pfn)).toBe(false);
      }
    }
    for (const { folio } of held) folio_put(folio);
    expect(freeFrames().size).toBe(2999);
    expect(blocks()).toEqual(atBoot);
  });

  test('gives null when there is nothing left', () => {
    boot(4);
    expect([folio_alloc(0), folio_alloc(0), folio_alloc(0)].every((f) => f !== null)).toBe(true);
    expect(folio_alloc(0)).toBeNull();
  });

  test('keeps a folio while somebody has a reference', () => {
    boot(8);
    const folio = folio_alloc(0) as folio;
    folio_get(folio);
    folio_put(folio);
    expect(nr_free_pages()).toBe(6);
    folio_put(folio);
    expect(nr_free_pages()).toBe(7);
  });

  test('reports a page that is freed while it is mapped', () => {
    const machine = boot(8);
    const folio = folio_alloc(0) as folio;
    folio._mapcount = 0;
    folio_put(folio);
    expect(machine.findings().map((f) => f.kind)).toEqual(['bad-page']);
  });
});
