import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { INIT_LIST_HEAD } from '../../../src/linux/lib/list.ts';
import {
  rb_clear_node,
  rb_is_red,
  rb_left,
  rb_parent,
  rb_right,
  rb_root_node,
} from '../../../src/linux/lib/rbtree.ts';
import {
  vma_interval_tree_insert,
  vma_interval_tree_insert_after,
  vma_interval_tree_iter_first,
  vma_interval_tree_iter_next,
  vma_interval_tree_remove,
} from '../../../src/linux/mm/interval_tree.ts';
import { PAGE_SIZE } from '../../../src/linux/mm/mm.ts';
import {
  vmaTreeAtOrAfter,
  vmaTreeBefore,
  vmaTreeClear,
  vmaTreeFind,
  vmaTreeFirst,
  vmaTreeHighestGap,
  vmaTreeLast,
  vmaTreeLowestGap,
  vmaTreeNext,
  vmaTreePrev,
  vmaTreeRange,
  vmaTreeStore,
  vmaTreeWalk,
} from '../../../src/linux/mm/vma_tree.ts';
import {
  address_space_cachep,
  mm_cachep,
  type mm_struct,
  vm_area_cachep,
  type vm_area_struct,
} from '../../../src/linux/mm_types.ts';
import { bootTest } from '../driver.ts';

const LIMIT = 64;

function newVma(mm: mm_struct, start: number, end: number, pgoff = 0): vm_area_struct {
  const vma = vm_area_cachep.alloc();
  vma.vm_mm = mm;
  vma.vm_start = start * PAGE_SIZE;
  vma.vm_end = end * PAGE_SIZE;
  vma.vm_pgoff = pgoff;
  INIT_LIST_HEAD(vma.anon_vma_chain);
  rb_clear_node(vma.vm_rb);
  return vma;
}

/** Black height of a subtree; throws when a red-black rule is broken. */
function blackHeight(node: number): number {
  if (node === 0) return 1;
  const left = rb_left(node);
  const right = rb_right(node);
  for (const child of [left, right]) {
    if (child === 0) continue;
    if (rb_parent(child) !== node) throw new Error('parent link');
    if (rb_is_red(node) && rb_is_red(child)) throw new Error('two reds');
  }
  const height = blackHeight(left);
  if (height !== blackHeight(right)) throw new Error('black heights differ');
  return height + (rb_is_red(node) ? 0 : 1);
}

const range = fc
  .tuple(fc.integer({ min: 0, max: LIMIT - 1 }), fc.integer({ min: 1, max: 12 }))
  .map(([start, length]) => ({ start, end: Math.min(LIMIT, start + length) }));

describe('vma tree', () => {
  test('agrees with an array of pages after any stores and clears', () => {
    const steps = fc.array(fc.record({ store: fc.boolean(), range }), { maxLength: 60 });
    fc.assert(
      fc.property(steps, (list) => {
        bootTest({ recording: false });
        const mm = mm_cachep.alloc();
        const pages: (vm_area_struct | null)[] = new Array(LIMIT).fill(null);
        for (const { store, range: r } of list) {
          // A store into the middle of an entry is for the caller to avoid: cut it in two first.
          const around = pages[r.start];
          const tail = pages[r.end];
          if (around && around === tail && r.start > 0 && pages[r.start - 1] === around) {
            const last = pages.lastIndexOf(around);
            around.vm_end = r.end * PAGE_SIZE;
            const upper = newVma(mm, r.end, last + 1);
            vmaTreeStore(mm, upper);
            pages.fill(upper, r.end, last + 1);
          }
          if (store) {
            const vma = newVma(mm, r.start, r.end);
            vmaTreeStore(mm, vma);
            pages.fill(vma, r.start, r.end);
          } else {
            vmaTreeClear(mm, r.start * PAGE_SIZE, r.end * PAGE_SIZE);
            pages.fill(null, r.start, r.end);
          }
          checkTree(mm, pages);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('stays balanced and finds gaps with 100,000 entries', () => {
    bootTest({ recording: false });
    const mm = mm_cachep.alloc();
    const count = 100_000;
    for (let i = 0; i < count; i++) vmaTreeStore(mm, newVma(mm, i * 2 + 1, i * 2 + 2));
    blackHeight(rb_root_node(mm.mm_rb));
    vmaTreeClear(mm, 5001 * PAGE_SIZE, 5010 * PAGE_SIZE);
    const began = performance.now();
    for (let i = 0; i < 1000; i++) {
      expect(vmaTreeLowestGap(mm, 0, count * 4 * PAGE_SIZE, 3 * PAGE_SIZE)?.start).toBe(
        5000 * PAGE_SIZE,
      );
      expect(vmaTreeHighestGap(mm, 0, count * 2 * PAGE_SIZE, 3 * PAGE_SIZE)?.end).toBe(
        5011 * PAGE_SIZE,
      );
    }
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

/** Compares every lookup with the page array. */
function checkTree(mm: mm_struct, pages: readonly (vm_area_struct | null)[]): void {
  blackHeight(rb_root_node(mm.mm_rb));
  const entries = [...new Set(pages.filter((p) => p !== null))];
  expect(vmaTreeRange(mm)).toEqual(entries);
  expect(vmaTreeFirst(mm)).toBe(entries[0] ?? null);
  expect(vmaTreeLast(mm)).toBe(entries.at(-1) ?? null);
  entries.forEach((vma, i) => {
    expect(vmaTreeNext(vma)).toBe(entries[i + 1] ?? null);
    expect(vmaTreePrev(vma)).toBe(entries[i - 1] ?? null);
  });
  for (let page = 0; page < LIMIT; page++) {
    const addr = page * PAGE_SIZE;
    expect(vmaTreeWalk(mm, addr)).toBe(pages[page]);
    const after = pages.slice(page).find((p) => p !== null) ?? null;
    expect(vmaTreeAtOrAfter(mm, addr)).toBe(after);
    expect(vmaTreeBefore(mm, addr)).toBe(pages.slice(0, page).findLast((p) => p !== null) ?? null);
    const soon = pages.slice(page, page + 3).find((p) => p !== null) ?? null;
    expect(vmaTreeFind(mm, addr, addr + 3 * PAGE_SIZE)).toBe(soon);
  }
  for (const size of [1, 2, 5]) {
    for (const [low, high] of [
      [0, LIMIT],
      [7, 50],
    ] as const) {
      const fits: number[] = [];
      for (let at = low; at + size <= high; at++) {
        if (pages.slice(at, at + size).every((p) => p === null)) fits.push(at);
      }
      const bytes = [low * PAGE_SIZE, high * PAGE_SIZE, size * PAGE_SIZE] as const;
      expect(vmaTreeLowestGap(mm, ...bytes)?.start).toBe(
        fits[0] === undefined ? undefined : fits[0] * PAGE_SIZE,
      );
      const top = fits.at(-1);
      expect(vmaTreeHighestGap(mm, ...bytes)?.end).toBe(
        top === undefined ? undefined : (top + size) * PAGE_SIZE,
      );
    }
  }
}

describe('interval tree', () => {
  test('visits what overlaps, by page offset, equal ones in the order of insertion', () => {
    const step = fc.record({
      kind: fc.constantFrom('insert', 'insert', 'after', 'remove'),
      pgoff: fc.integer({ min: 0, max: 20 }),
      pages: fc.integer({ min: 1, max: 8 }),
      pick: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        bootTest({ recording: false });
        const mm = mm_cachep.alloc();
        const mapping = address_space_cachep.alloc();
        const model: vm_area_struct[] = [];
        for (const { kind, pgoff, pages, pick } of steps) {
          const picked = model[pick % Math.max(1, model.length)];
          if (kind === 'remove') {
            if (picked === undefined) continue;
            vma_interval_tree_remove(picked, mapping.i_mmap);
            model.splice(model.indexOf(picked), 1);
          } else if (kind === 'after') {
            if (picked === undefined) continue;
            const vma = newVma(mm, 0, pages, picked.vm_pgoff);
            vma_interval_tree_insert_after(vma, picked, mapping.i_mmap);
            model.splice(model.indexOf(picked) + 1, 0, vma);
          } else {
            const vma = newVma(mm, 0, pages, pgoff);
            vma_interval_tree_insert(vma, mapping.i_mmap);
            const at = model.findIndex((v) => v.vm_pgoff > pgoff);
            model.splice(at < 0 ? model.length : at, 0, vma);
          }
          blackHeight(rb_root_node(mapping.i_mmap));
          for (const [first, last] of [
            [0, 100],
            [5, 5],
            [3, 11],
          ] as const) {
            const found: vm_area_struct[] = [];
            let vma = vma_interval_tree_iter_first(mapping.i_mmap, first, last);
            while (vma !== null) {
              found.push(vma);
              vma = vma_interval_tree_iter_next(vma, first, last);
            }
            const wanted = model.filter((v) => {
              const end = v.vm_pgoff + (v.vm_end - v.vm_start) / PAGE_SIZE - 1;
              return v.vm_pgoff <= last && end >= first;
            });
            expect(found.map((v) => v.addr)).toEqual(wanted.map((v) => v.addr));
          }
        }
      }),
      { numRuns: 200 },
    );
  });
});
