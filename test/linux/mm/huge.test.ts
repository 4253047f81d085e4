/** Huge pages: what splitting, swapping, collapsing, pinning and freeing them does, as v6.18 has it. */
import { describe, expect, test } from 'vitest';
import { first_deferred_folio, folio_deferred } from '../../../src/linux/mm/deferred_split.ts';
import { khugepaged_mm_slot_cachep } from '../../../src/linux/mm/khugepaged_types.ts';
import {
  folio_entire_mapcount,
  folio_large_mapcount,
  folio_nr_pages,
  folio_nr_pages_mapped,
  folio_pincount,
} from '../../../src/linux/mm/large_folio.ts';
import { NODE_DATA } from '../../../src/linux/mm/node.ts';
import {
  folio_test_large,
  folio_test_locked,
  folio_test_swapcache,
  PageAnonExclusive,
} from '../../../src/linux/mm/page-flags.ts';
import {
  pte_is_swap_entry,
  pte_page,
  pte_present,
  pte_special,
  pte_to_swp_entry,
  pte_write,
} from '../../../src/linux/mm/pgtable.ts';
import { swap_info } from '../../../src/linux/mm/swapfile.ts';
import { mem_map } from '../../../src/linux/mm_types.ts';
import { cpu, ENDLESS } from '../../../src/sim/cpu.ts';
import { eventAt } from '../../../src/sim/event.ts';
import { begin, call, findings, settle } from '../driver.ts';
import { at, HUGE, MADV_HUGEPAGE, P, PAGE, pages, World } from './huge-world.ts';

const [MADV_FREE, MADV_DONTNEED, MADV_NOHUGEPAGE, MADV_PAGEOUT, MADV_COLLAPSE] = [8, 4, 15, 21, 25];
const [EAGAIN, EBUSY, ENOENT, EINVAL] = [11, 16, 2, 22];

describe('__split_huge_pmd', () => {
  test('maps every page of the folio by itself, exclusive and writable as the entry was', () => {
    const w = new World().huge();
    const folio = w.folio();
    expect([folio_entire_mapcount(folio), folio_large_mapcount(folio)]).toEqual([1, 1]);
    const tables = w.mm().pgtables_bytes;
    expect(w.do('mprotect', at(511), PAGE, 1)).toBe(0);
    expect(w.pmd()).toBe(0);
    expect(folio_nr_pages(folio)).toBe(512);
    expect(folio._refcount).toBe(512);
    expect(folio_entire_mapcount(folio)).toBe(0);
    expect([folio_large_mapcount(folio), folio_nr_pages_mapped(folio)]).toEqual([512, 512]);
    expect(pages.every((i) => pte_page(w.pte(i)).pfn === folio.pfn + i)).toBe(true);
    expect(pages.every((i) => PageAnonExclusive(mem_map.at(folio.pfn + i)))).toBe(true);
    expect(pages.map((i) => pte_write(w.pte(i)))).toEqual(pages.map((i) => i < 511));
    // The table was there all the time, for this.
    expect(w.mm().pgtables_bytes).toBe(tables);
  });

  test('of a shared folio makes nobody exclusive', () => {
    const w = new World().huge();
    const b = w.fork();
    const folio = w.folio();
    call(w.m, b, 'store', [at(3), 9]);
    w.check('the child has copied a page');
    expect(w.pmd()).not.toBe(0);
    expect([folio_entire_mapcount(folio), folio_large_mapcount(folio)]).toEqual([1, 512]);
    expect(pages.some((i) => PageAnonExclusive(mem_map.at(folio.pfn + i)))).toBe(false);
    expect([w.load(3), w.load(3, b), w.load(0, b)]).toEqual([0, 9, 1]);
  });

  test('of the huge zero page maps the small one', () => {
    const w = new World();
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    w.do('load', P);
    expect(w.mm().rss_anon).toBe(0);
    w.do('mprotect', P, PAGE, 1);
    expect(pages.every((i) => pte_special(w.pte(i)))).toBe(true);
  });
});

describe('split_folio', () => {
  test('leaves 512 pages of their own, mapped as before, and zeros to the zero page', () => {
    const w = new World().huge();
    w.do('store', at(7), 7);
    const head = w.folio();
    expect(w.aim('split')).toBe(0);
    expect(folio_test_large(head)).toBe(false);
    expect([w.pte(0), w.pte(7)].map((pte) => pte_page(pte).pfn)).toEqual([head.pfn, head.pfn + 7]);
    expect([head._refcount, head._mapcount]).toEqual([1, 0]);
    // RMP_USE_SHARED_ZEROPAGE: what was never written needs no page.
    expect(pages.filter((i) => !pte_special(w.pte(i)))).toEqual([0, 7]);
    expect(w.mm().rss_anon).toBe(2);
    expect([w.load(0), w.load(7), w.load(8)]).toEqual([1, 7, 0]);
  });

  test('keeps every page of an mlocked one', () => {
    const w = new World().huge();
    w.do('mlock', P, HUGE);
    expect(w.aim('split')).toBe(0);
    expect(pages.filter((i) => pte_special(w.pte(i)))).toEqual([]);
    expect(w.mm().rss_anon).toBe(512);
  });

  test('in all processes that share it', () => {
    const w = new World().huge();
    const b = w.fork();
    expect(w.aim('split')).toBe(0);
    expect(pte_page(w.pte(0)).pfn).toBe(pte_page(w.pte(0, b)).pfn);
    expect(pte_page(w.pte(0))._mapcount + 1).toBe(2);
    expect(pte_write(w.pte(0))).toBe(false);
  });

  test('frees at once what nobody maps any more', () => {
    const w = new World().huge();
    w.do('mlock', P, HUGE);
    const used = NODE_DATA().used_pages;
    w.do('munmap', at(256), 256 * PAGE);
    settle(w.m);
    expect(NODE_DATA().used_pages).toBe(used);
    expect(w.aim('split')).toBe(0);
    expect(NODE_DATA().used_pages).toBe(used - 256);
  });

  test('is refused while somebody has a reference, and for what is not huge', () => {
    const w = new World().huge();
    w.aim('pin', 0);
    expect(w.aim('split')).toBe(-EBUSY);
    expect(w.pmd()).not.toBe(0);
    w.aim('unpin', 0);
    expect(w.aim('split')).toBe(0);
    expect(w.aim('split')).toBe(-EINVAL);
    expect(w.aim('split', 4096)).toBe(-ENOENT);
  });
});

describe('the queue of deferred splits', () => {
  test('has every new huge page, and marks one of which a part is unmapped', () => {
    const w = new World().huge(2);
    expect(NODE_DATA().split_queue_len).toBe(2);
    const folio = w.folio();
    expect(first_deferred_folio()).toBe(folio);
    w.do('munmap', at(0), PAGE);
    expect(folio_deferred(folio)).toBe(true);
    w.do('munmap', P, 2 * HUGE);
    expect(NODE_DATA().split_queue_len).toBe(0);
  });
});

describe('shrink_folio_list', () => {
  test('swaps a huge page out as a whole, to one cluster of the area', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    const { used_pages } = NODE_DATA();
    expect(w.do('madvise', P, HUGE, MADV_PAGEOUT)).toBe(0);
    expect(NODE_DATA().used_pages).toBe(used_pages - 512);
    const slots = pages.map((i) => pte_to_swp_entry(w.pte(i)));
    expect(pages.every((i) => pte_is_swap_entry(w.pte(i)))).toBe(true);
    expect((slots[0] as number) % 512).toBe(0);
    expect(slots).toEqual(pages.map((i) => (slots[0] as number) + i));
    expect([w.mm().rss_anon, w.mm().rss_swap]).toEqual([0, 512]);
    // It comes back page by page: no readahead.
    expect([w.load(5), w.load(0), w.load(6)]).toEqual([5, 1, 0]);
    expect(w.mm().rss_swap).toBe(509);
  });

  test('splits it when no cluster is free, and swaps its pages', () => {
    // One cluster, of which the header takes the first slot.
    const w = new World(511).huge();
    w.do('store', at(5), 5);
    expect(w.do('madvise', P, HUGE, MADV_PAGEOUT)).toBe(0);
    expect([w.mm().rss_anon, w.mm().rss_swap]).toEqual([0, 2]);
    expect(pages.filter((i) => pte_is_swap_entry(w.pte(i)))).toEqual([0, 5]);
    expect([w.load(0), w.load(5), w.load(9)]).toEqual([1, 5, 0]);
  });

  test('splits one that is partly unmapped right away, which frees the rest without writing it', () => {
    const w = new World().huge();
    for (const i of pages) call(w.m, w.a, 'store', [at(i), 1 + (i % 200)]);
    w.do('munmap', at(256), 256 * PAGE);
    expect(w.do('madvise', P, 256 * PAGE, MADV_PAGEOUT)).toBe(0);
    expect(swap_info()?.inuse_pages).toBe(256);
    expect(w.mm().rss_swap).toBe(256);
    expect(w.load(255)).toBe(1 + (255 % 200));
  });

  test('keeps it without swap', () => {
    const w = new World(0).huge();
    expect(w.do('madvise', P, HUGE, MADV_PAGEOUT)).toBe(0);
    expect(w.mm().rss_anon).toBe(1);
    expect(w.load(0)).toBe(1);
  });

  test('keeps one that a device has pinned, and one that is mlocked', () => {
    const w = new World().huge(2);
    w.aim('pin', 0);
    w.do('madvise', P, HUGE, MADV_PAGEOUT);
    expect(w.pmd()).not.toBe(0);
    w.aim('unpin', 0);
    w.do('mlock', P, HUGE);
    w.aim('reclaim', 0);
    expect(w.pmd()).not.toBe(0);
  });

  test('drops a huge page after MADV_FREE, unless it was written again', () => {
    const w = new World().huge(2);
    const { used_pages } = NODE_DATA();
    w.do('madvise', P, 2 * HUGE, MADV_FREE);
    w.do('store', at(512), 9);
    expect(w.aim('reclaim', 0)).toBe(1);
    expect(w.pmd()).toBe(0);
    expect(NODE_DATA().used_pages).toBe(used_pages - 512);
    expect(w.load(0)).toBe(0);
    w.aim('reclaim', 512);
    expect(w.load(512)).toBe(9);
  });
});

describe('do_swap_page', () => {
  test('maps all pages of a huge page that is still in the swap cache at once', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    const folio = w.folio();
    expect(w.aim('reclaim')).toBe(0);
    begin(w.m, w.kernel, 'reclaim', [w.a, P]);
    // Until the folio is unlocked for writing: out of all page tables, and in the swap cache.
    while (!folio_test_swapcache(folio) || folio_test_locked(folio)) w.m.run(w.kernel, 0, null);
    expect(folio_large_mapcount(folio)).toBe(0);
    expect(w.load(5)).toBe(5);
    expect([folio_large_mapcount(folio), w.mm().rss_anon, w.mm().rss_swap]).toEqual([512, 512, 0]);
    expect(pages.every((i) => pte_page(w.pte(i)).pfn === folio.pfn + i)).toBe(true);
    w.m.run(w.kernel, ENDLESS, null);
    w.check('reclaim gives up');
    expect(w.do('store', at(9), 9)).toBe(0);
    expect([w.load(0), w.load(9)]).toEqual([1, 9]);
  });

  test('splits a huge page of the swap cache into pages that are in it', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    const folio = w.folio();
    expect(w.aim('reclaim')).toBe(0);
    begin(w.m, w.kernel, 'reclaim', [w.a, P]);
    while (!folio_test_swapcache(folio) || folio_test_locked(folio)) w.m.run(w.kernel, 0, null);
    w.load(5);
    w.m.run(w.kernel, ENDLESS, null);
    expect(folio_test_swapcache(folio)).toBe(true);
    const slot = folio.private;
    settle(w.m);
    expect(w.aim('split')).toBe(0);
    const page = mem_map.at(folio.pfn + 5);
    expect([page.private, folio_test_swapcache(page)]).toEqual([slot + 5, true]);
    expect([w.load(0), w.load(5)]).toEqual([1, 5]);
  });
});

describe('pins', () => {
  test('are counted beside the references of a huge page, one each', () => {
    const w = new World().huge();
    const folio = w.folio();
    const references = folio._refcount;
    for (const page of [0, 1, 511]) expect(w.aim('pin', page)).toBe(1);
    expect([folio_pincount(folio), folio._refcount - references]).toEqual([3, 3]);
    expect(w.do('pin', w.a, at(4))).toBe(1);
    expect(folio_pincount(folio)).toBe(4);
    for (const page of [0, 1, 511, 4]) expect(w.aim('unpin', page)).toBe(0);
    expect([folio_pincount(folio), folio._refcount]).toEqual([0, references]);
  });

  test('make fork copy the page that is pinned, of a huge page that is split for it', () => {
    const w = new World().huge();
    w.aim('pin', 3);
    const b = w.fork();
    expect(w.pmd()).toBe(0);
    const pinned = w.folio(3);
    expect(pte_page(w.pte(3)).pfn).toBe(pinned.pfn + 3);
    expect(w.folio(3, b)).not.toBe(pinned);
    call(w.m, w.kernel, 'device_store', [w.a, at(3), 8]);
    expect([w.load(3), w.load(3, b)]).toEqual([8, 0]);
  });

  test('keep MADV_COLLAPSE away from a page', () => {
    const w = new World().huge();
    w.aim('split');
    w.do('store', at(1), 1);
    w.aim('pin', 1);
    expect(w.do('madvise', P, HUGE, MADV_COLLAPSE)).toBe(-EAGAIN);
    w.aim('unpin', 1);
    expect(w.do('madvise', P, HUGE, MADV_COLLAPSE)).toBe(0);
    expect([w.load(0), w.load(1), w.load(2)]).toEqual([1, 1, 0]);
  });

  test('for reading take the huge zero page as it is', () => {
    const w = new World();
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    w.do('load', P);
    expect(w.aim('pin', 9, 0)).toBe(1);
    expect(w.aim('unpin', 9)).toBe(0);
    expect(w.aim('pin', 9, 1)).toBe(1);
    expect(w.mm().rss_anon).toBe(512);
    expect(w.aim('unpin', 9)).toBe(0);
  });
});

describe('collapse', () => {
  test('makes one huge page of what khugepaged may take', () => {
    const w = new World();
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('store', P, 3, 4 * PAGE);
    expect(w.aim('collapse')).toBe(-EINVAL);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    settle(w.m);
    expect(w.aim('collapse')).toBe(0);
    expect(pte_present(w.pmd())).toBe(true);
    expect([w.load(3), w.load(4)]).toEqual([3, 0]);
    expect(w.mm().rss_anon).toBe(512);
    w.do('madvise', P, HUGE, MADV_NOHUGEPAGE);
    expect(w.aim('collapse')).toBe(-EINVAL);
  });

  test('leaves alone what nobody uses, and what is shared or swapped out for the most part', () => {
    const w = new World();
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('store', P, 3, 400 * PAGE);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    settle(w.m);
    const b = w.fork();
    // 400 of at most 256 shared pages.
    expect(w.aim('collapse')).toBe(-EINVAL);
    call(w.m, b, 'exit_group', [0]);
    w.do('madvise', P, 65 * PAGE, MADV_PAGEOUT);
    expect(w.mm().rss_swap).toBe(65);
    // 65 of at most 64 in swap.
    expect(w.aim('collapse')).toBe(-EINVAL);
    expect(w.load(0)).toBe(3);
    settle(w.m);
    expect(w.aim('collapse')).toBe(0);
    expect([w.mm().rss_anon, w.mm().rss_swap]).toEqual([512, 0]);
    expect(w.load(64)).toBe(3);
  });
});

describe('migrate_pages', () => {
  test('moves a huge page that is mapped page by page as a whole', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    w.do('mprotect', at(511), PAGE, 1);
    const b = w.fork();
    const old = w.folio();
    const { pfn } = old;
    expect(w.aim('migrate', 7)).toBe(0);
    const folio = w.folio();
    expect(folio.pfn).not.toBe(pfn);
    expect([folio_nr_pages(folio), folio_large_mapcount(folio)]).toEqual([512, 1024]);
    expect(w.folio(0, b)).toBe(folio);
    expect(folio_deferred(folio)).toBe(true);
    expect([w.load(0), w.load(5), w.load(5, b), w.load(6)]).toEqual([1, 5, 5, 0]);
  });

  test('splits one of which a part is unmapped, and moves its pages', () => {
    const w = new World().huge();
    w.do('store', at(5), 5);
    w.do('munmap', at(256), 256 * PAGE);
    const { pfn } = w.folio();
    expect(w.aim('migrate', 0)).toBe(0);
    expect(folio_test_large(w.folio())).toBe(false);
    // To other frames: those that the split has freed are as good as any.
    for (const i of [0, 5]) expect(pte_page(w.pte(i)).pfn).not.toBe(pfn + i);
    expect([w.load(0), w.load(5), w.load(6)]).toEqual([1, 5, 0]);
  });

  test('leaves one that is pinned', () => {
    const w = new World().huge();
    w.aim('pin', 3);
    w.do('mprotect', at(511), PAGE, 1);
    const folio = w.folio();
    expect(w.aim('migrate')).toBe(-EBUSY);
    w.aim('unpin', 3);
    expect(w.folio()).toBe(folio);
    expect(w.aim('migrate')).toBe(0);
    expect(w.load(0)).toBe(1);
  });
});

describe('memory pressure', () => {
  const events = (name: string): number => {
    let count = 0;
    for (let n = 0; n < cpu.event_count; n++) if (eventAt(n).type.name === name) count++;
    return count;
  };

  test('splits what is queued, which frees the pages that nobody maps', () => {
    const w = new World(0, 2048).huge();
    // Out of reclaim's reach otherwise: there is no swap.
    w.do('munmap', at(1), 511 * PAGE);
    const folio = w.folio();
    expect(folio_nr_pages(folio)).toBe(512);
    const more = 0x20_0000_0000;
    const free = NODE_DATA().spanned_pages - NODE_DATA().used_pages;
    w.do('mmap', more, (free + 300) * PAGE, 3, 0x32, -1, 0);
    expect(w.do('store', more, 7, (free + 300) * PAGE)).toBe(0);
    expect(folio_test_large(folio)).toBe(false);
    expect(events('oom:mark_victim')).toBe(0);
    expect(w.load(0)).toBe(1);
  });

  test('takes the huge zero page when nobody has it', () => {
    const w = new World(0, 2048);
    const b = w.fork();
    call(w.m, b, 'mmap', [P, HUGE, 3, 0x32, -1, 0]);
    call(w.m, b, 'madvise', [P, HUGE, MADV_HUGEPAGE]);
    call(w.m, b, 'load', [P]);
    expect(NODE_DATA().huge_zero_refcount).toBe(2);
    call(w.m, b, 'exit_group', [0]);
    expect(NODE_DATA().huge_zero_refcount).toBe(1);
    const free = NODE_DATA().spanned_pages - NODE_DATA().used_pages;
    w.do('mmap', P, (free + 300) * PAGE, 3, 0x32, -1, 0);
    expect(w.do('store', P, 7, (free + 300) * PAGE)).toBe(0);
    expect(NODE_DATA().huge_zero_folio).toBe(0);
    expect(events('oom:mark_victim')).toBe(0);
  });

  test('that is only fragmentation is met by compaction, for who asked for huge pages', () => {
    const w = new World(0, 4096);
    const small = 0x20_0000_0000;
    w.do('mmap', small, 3800 * PAGE, 3, 0x32, -1, 0);
    w.do('store', small, 5, 3800 * PAGE);
    for (let i = 0; i < 3800; i += 2) {
      call(w.m, w.a, 'madvise', [small + i * PAGE, PAGE, MADV_DONTNEED]);
    }
    settle(w.m);
    w.check('every second page is free');
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    w.do('store', P, 1);
    expect(pte_present(w.pmd())).toBe(true);
    expect(events('migrate:end')).toBeGreaterThan(100);
    expect(call(w.m, w.a, 'load', [small + PAGE])).toBe(5);
    expect(call(w.m, w.a, 'load', [small])).toBe(0);
  });

  test('that leaves too little ends in small pages', () => {
    const w = new World(0, 1024);
    const small = 0x20_0000_0000;
    w.do('mmap', small, 700 * PAGE, 3, 0x32, -1, 0);
    w.do('store', small, 5, 700 * PAGE);
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    w.do('store', P, 1);
    expect(w.pmd()).toBe(0);
    expect([w.load(0), w.mm().rss_anon]).toEqual([1, 701]);
    expect(events('oom:mark_victim')).toBe(0);
  });
});

describe('khugepaged', () => {
  /** A second process with a block of its own at P, small pages that khugepaged may collapse. */
  function small(w: World, task: number, blocks = 1): void {
    call(w.m, task, 'mmap', [P, blocks * HUGE, 3, 0x32, -1, 0]);
    for (let i = 0; i < blocks; i++) call(w.m, task, 'store', [P + i * HUGE, 7, 3 * PAGE]);
    call(w.m, task, 'madvise', [P, blocks * HUGE, MADV_HUGEPAGE]);
    settle(w.m);
  }
  const scan = (w: World, times = 1): number => {
    const made = call(w.m, w.kernel, 'khugepaged_scan', [times]);
    w.check('khugepaged_scan');
    return made;
  };

  test('collapses block by block, mm by mm', () => {
    const w = new World();
    const b = w.fork();
    small(w, w.a, 3);
    small(w, b, 1);
    // 4096 pages at once, and an mm that was collapsed in is left: its next block comes with the next call.
    expect(scan(w)).toBe(4);
    expect(scan(w)).toBe(0);
    expect([w.mm().rss_anon, w.mm(b).rss_anon]).toEqual([3 * 512, 512]);
    expect([w.load(2), w.load(1024), w.load(2, b)]).toEqual([7, 7, 7]);
  });

  test('leaves alone what is not advised, not used, or too small', () => {
    const w = new World();
    call(w.m, w.a, 'mmap', [P, HUGE, 3, 0x32, -1, 0]);
    call(w.m, w.a, 'store', [P, 1, 4 * PAGE]);
    settle(w.m);
    expect(scan(w)).toBe(0);
    call(w.m, w.a, 'madvise', [P, HUGE, MADV_HUGEPAGE]);
    for (const page of [0, 1, 2, 3]) {
      call(w.m, w.kernel, 'referenced', [w.a, at(page)]);
      // The walk has cleared the accessed bits.
    }
    expect(scan(w)).toBe(0);
    w.load(0);
    expect(scan(w)).toBe(1);
  });

  test('knows an mm from its first use of MADV_HUGEPAGE until it is gone, forks included', () => {
    const w = new World();
    w.do('mmap', P, HUGE, 3, 0x32, -1, 0);
    w.do('madvise', P, HUGE, MADV_HUGEPAGE);
    const known = () => khugepaged_mm_slot_cachep.live();
    // Not before there is an anon_vma.
    expect(known()).toBe(0);
    w.do('store', P, 1);
    expect(known()).toBe(1 + 1);
    const b = w.fork();
    expect(known()).toBe(1 + 2);
    call(w.m, b, 'exit_group', [0]);
    w.check('the child has gone');
    expect(known()).toBe(1 + 1);
    call(w.m, w.a, 'exit_group', [0]);
    w.check('the parent has gone');
    expect(known()).toBe(1);
  });

  test('in the middle of a dying mm gets out of it and frees its slot', () => {
    const w = new World();
    const b = w.fork();
    small(w, b, 4);
    let stopped = 0;
    for (let steps = 0; steps < 4000 && stopped < 40; steps += 37, stopped++) {
      begin(w.m, w.kernel, 'khugepaged_scan', [1]);
      w.m.run(w.kernel, steps, null);
      if (stopped === 1) begin(w.m, b, 'exit_group', [0]);
      for (let turn = 0; turn < 10_000 && w.m.block(w.kernel).op !== 0; turn++) {
        if (stopped >= 1 && w.m.enabled(b)) w.m.run(b, 11, null);
        if (w.m.enabled(w.kernel)) w.m.run(w.kernel, 13, null);
      }
      expect(findings(w.m)).toEqual([]);
    }
    while (w.m.block(b).op !== 0 && w.m.enabled(b)) w.m.run(b, ENDLESS, null);
    scan(w, 2);
    expect(khugepaged_mm_slot_cachep.live()).toBe(1);
  });
});

describe('MADV_DONTNEED', () => {
  test('of a part unmaps it and leaves the rest of the folio', () => {
    const w = new World().huge();
    w.do('store', at(300), 3);
    w.do('madvise', P, 256 * PAGE, MADV_DONTNEED);
    expect(w.mm().rss_anon).toBe(256);
    expect([w.load(0), w.load(300)]).toEqual([0, 3]);
  });
});
