/**
 * The merge tests of the kernel's tools/testing/vma (v6.18) under the names that they have there, and
 * every combination of what decides a merge.
 */
import { describe, expect, test } from 'vitest';
import {
  PAGE_SIZE,
  VM_DONTEXPAND,
  VM_IO,
  VM_MAYBE_GUARD,
  VM_MIXEDMAP,
  VM_OPS_NONE,
  VM_OPS_SPECIAL,
  VM_PFNMAP,
  VM_SPECIAL,
} from '../../../src/linux/mm/mm.ts';
import type { vm_area_struct } from '../../../src/linux/mm_types.ts';
import { FLAGS, VmaUnit } from './vma-unit.ts';

/** A test of tools/testing/vma: after it, everything must be consistent. */
function unit(name: string, body: (u: VmaUnit) => void): void {
  test(name, () => {
    const u = new VmaUnit();
    body(u);
    expect(u.problems()).toEqual([]);
  });
}

describe('vma_merge_new_range', () => {
  unit('simple_merge: a range that fills the hole between two VMAs makes them one', (u) => {
    const left = u.link(0, 1);
    u.link(2, 3);
    const { vma, vmg } = u.mergeNew(1, 2);
    expect(vma).toBe(left);
    expect(vmg.state).toBe('success');
    expect(u.vmas()).toBe('[0,3)');
    expect(left.vm_flags).toBe(FLAGS);
  });

  unit('merge_new: to both sides, to the left, to the right, until all is one VMA', (u) => {
    const a = u.link(0, 2);
    const b = u.fault(u.link(3, 4));
    const c = u.link(0xb, 0xc);
    const d = u.mergeOrLink(7, 9);
    expect(d.merged).toBe(false);
    expect(u.mm.map_count).toBe(4);
    const { anon_vma } = b;
    // A close() hook of the VMA that stays does not matter.
    a.vm_ops = VM_OPS_SPECIAL;
    expect(u.mergeOrLink(2, 3)).toEqual({ vma: a, merged: true });
    expect(u.wasLocked(a)).toBe(true);
    expect(a.anon_vma).toBe(anon_vma);
    expect(u.vmas()).toBe('[0,4) A [7,9) [11,12)');

    expect(u.mergeOrLink(4, 5)).toEqual({ vma: a, merged: true });
    expect(u.wasLocked(a)).toBe(true);
    expect(u.vmas()).toBe('[0,5) A [7,9) [11,12)');

    u.share(d.vma, a);
    d.vma.vm_ops = VM_OPS_SPECIAL;
    expect(u.mergeOrLink(6, 7)).toEqual({ vma: d.vma, merged: true });
    expect(u.wasLocked(d.vma)).toBe(true);
    expect(u.vmas()).toBe('[0,5) A [6,9) A [11,12)');

    d.vma.vm_ops = VM_OPS_NONE;
    expect(u.mergeOrLink(5, 6)).toEqual({ vma: a, merged: true });
    expect(u.vmas()).toBe('[0,9) A [11,12)');

    u.share(c, a);
    expect(u.mergeOrLink(0xa, 0xb)).toEqual({ vma: c, merged: true });
    expect(u.wasLocked(c)).toBe(true);
    expect(u.vmas()).toBe('[0,9) A [10,12) A');

    expect(u.mergeOrLink(9, 0xa)).toEqual({ vma: a, merged: true });
    expect(u.wasLocked(a)).toBe(true);
    expect(u.vmas()).toBe('[0,12) A');
    expect(a.anon_vma).toBe(anon_vma);
    expect(u.world.counts(0)).toEqual([1, 1, 1]);
    expect(u.mm.map_count).toBe(1);
  });

  unit('vma_merge_new_with_close: hooks on both sides leave the right one alone', (u) => {
    const prev = u.linkWithClose(0, 2);
    const next = u.linkWithClose(5, 7);
    const { vma, vmg } = u.mergeNew(2, 5);
    expect(vma).toBe(prev);
    expect(vmg.state).toBe('success');
    expect(prev.vm_ops).toBe(VM_OPS_SPECIAL);
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.wasLocked(next)).toBe(false);
    expect(u.vmas()).toBe('[0,5) [5,7)');
    expect(u.mm.map_count).toBe(2);
  });

  unit('anon_vma_non_mergeable: between two anon_vmas a new range goes left', (u) => {
    const prev = u.fault(u.link(0, 3));
    const next = u.fault(u.link(7, 9));
    const { vma, vmg } = u.mergeNew(3, 7);
    expect(vma).toBe(prev);
    expect(vmg.state).toBe('success');
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.wasLocked(next)).toBe(false);
    expect(u.vmas()).toBe('[0,7) A [7,9) B');
  });

  unit('expand_only_mode: just_expand grows prev and looks at nothing else', (u) => {
    const other = u.link(0, 2);
    const prev = u.link(3, 5);
    const next = u.link(9, 0xb);
    const { vma, vmg } = u.mergeNewExpanding(5, 9);
    expect(vma).toBe(prev);
    expect(vmg.state).toBe('success');
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.wasLocked(other)).toBe(false);
    expect(u.wasLocked(next)).toBe(false);
    expect(u.vmas()).toBe('[0,2) [3,9) [9,11)');
  });
});

describe('vma_merge_existing_range', () => {
  unit('merge_existing, right, a part: middle shrinks, next grows down', (u) => {
    const middle = u.fault(u.linkWithClose(2, 6));
    const next = u.linkWithClose(6, 9);
    const { vma, vmg } = u.mergeExisting(middle, middle, 3, 6);
    expect(vma).toBe(next);
    expect(vmg.state).toBe('success');
    expect(u.wasLocked(middle)).toBe(true);
    expect(u.wasLocked(next)).toBe(true);
    expect(u.vmas()).toBe('[2,3) A [3,9) A');
    expect(u.world.counts(3)).toEqual([1, 2, 1]);
  });

  unit('merge_existing, right, all: middle goes', (u) => {
    const middle = u.fault(u.link(2, 6));
    const next = u.linkWithClose(6, 9);
    expect(u.mergeExisting(null, middle, 2, 6).vma).toBe(next);
    expect(u.wasLocked(next)).toBe(true);
    expect(u.vmas()).toBe('[2,9) A');
    expect(u.world.counts(2)).toEqual([1, 1, 1]);
    expect(u.mm.map_count).toBe(1);
  });

  unit('merge_existing, left, a part: prev grows, middle shrinks', (u) => {
    const prev = u.linkWithClose(0, 3);
    const middle = u.fault(u.linkWithClose(3, 7));
    expect(u.mergeExisting(prev, middle, 3, 6).vma).toBe(prev);
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.wasLocked(middle)).toBe(true);
    expect(u.vmas()).toBe('[0,6) A [6,7) A');
    expect(u.mm.map_count).toBe(2);
  });

  unit('merge_existing, left, all: middle goes', (u) => {
    const prev = u.linkWithClose(0, 3);
    const middle = u.fault(u.link(3, 7));
    expect(u.mergeExisting(prev, middle, 3, 7).vma).toBe(prev);
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.vmas()).toBe('[0,7) A');
    expect(u.mm.map_count).toBe(1);
  });

  unit('merge_existing, both: middle and next go', (u) => {
    const prev = u.linkWithClose(0, 3);
    const middle = u.fault(u.link(3, 7));
    u.link(7, 9);
    expect(u.mergeExisting(prev, middle, 3, 7).vma).toBe(prev);
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.vmas()).toBe('[0,9) A');
    expect(u.world.counts(0)).toEqual([1, 1, 1]);
    expect(u.mm.map_count).toBe(1);
  });

  unit('merge_existing: what touches neither end merges with nothing', (u) => {
    u.link(0, 3);
    const middle = u.link(3, 8);
    u.link(8, 0xa);
    for (let start = 4; start < 7; start++) {
      for (let end = start + 1; end <= 7; end++) {
        const { vma, vmg } = u.mergeExisting(middle, middle, start, end);
        expect([vma, vmg.state]).toEqual([null, 'nomerge']);
      }
    }
    expect(u.vmas()).toBe('[0,3) [3,8) [8,10)');
  });

  unit('vma_merge_special_flags: special VMAs never merge', (u) => {
    const special = [VM_IO, VM_DONTEXPAND, VM_PFNMAP, VM_MIXEDMAP];
    expect(special.reduce((all, flag) => all | flag, 0)).toBe(VM_SPECIAL);
    const left = u.link(0, 3);
    for (const flag of special) {
      left.vm_flags = FLAGS | flag;
      const { vma, vmg } = u.mergeNew(3, 4, FLAGS | flag);
      expect([vma, vmg.state]).toEqual([null, 'nomerge']);
    }
    const right = u.link(3, 4);
    for (const flag of special) {
      left.vm_flags = FLAGS | flag;
      const { vma, vmg } = u.mergeExisting(left, right, 3, 4, FLAGS | flag);
      expect([vma, vmg.state]).toEqual([null, 'nomerge']);
    }
    expect(u.vmas()).toBe('[0,3) [3,4)');
  });

  unit('vma_merge_with_close, new: next with a hook stays', (u) => {
    const prev = u.link(0, 3);
    u.linkWithClose(5, 9);
    expect(u.mergeNew(3, 5).vma).toBe(prev);
    expect(u.vmas()).toBe('[0,5) [5,9)');
  });

  unit('vma_merge_with_close, middle has a hook: no merge with prev', (u) => {
    const prev = u.link(0, 3);
    const middle = u.linkWithClose(3, 5);
    const { vma, vmg } = u.mergeExisting(prev, middle, 3, 5);
    expect([vma, vmg.state]).toEqual([null, 'nomerge']);
    expect(u.vmas()).toBe('[0,3) [3,5)');
  });

  unit('vma_merge_with_close, middle has a hook: no merge with next', (u) => {
    const middle = u.linkWithClose(3, 5);
    u.link(5, 9);
    const { vma, vmg } = u.mergeExisting(null, middle, 3, 5);
    expect([vma, vmg.state]).toEqual([null, 'nomerge']);
    expect(u.vmas()).toBe('[3,5) [5,9)');
  });

  unit('vma_merge_with_close, middle has a hook: no merge with both', (u) => {
    const prev = u.link(0, 3);
    const middle = u.linkWithClose(3, 5);
    u.link(5, 9);
    const { vma, vmg } = u.mergeExisting(prev, middle, 3, 5);
    expect([vma, vmg.state]).toEqual([null, 'nomerge']);
    expect(u.vmas()).toBe('[0,3) [3,5) [5,9)');
  });

  unit('vma_merge_with_close, next has a hook: prev takes the middle only', (u) => {
    const prev = u.link(0, 3);
    const middle = u.link(3, 5);
    u.linkWithClose(5, 9);
    expect(u.mergeExisting(prev, middle, 3, 5).vma).toBe(prev);
    expect(u.vmas()).toBe('[0,5) [5,9)');
  });

  unit('anon_vma_non_mergeable: between two anon_vmas an unfaulted middle goes left', (u) => {
    const prev = u.link(0, 3);
    const middle = u.link(3, 7);
    const next = u.link(7, 9);
    u.fault(prev);
    u.fault(next);
    const { vma, vmg } = u.mergeExisting(prev, middle, 3, 7);
    expect(vma).toBe(prev);
    expect(vmg.state).toBe('success');
    expect(u.wasLocked(prev)).toBe(true);
    expect(u.wasLocked(next)).toBe(false);
    expect(u.vmas()).toBe('[0,7) A [7,9) B');
  });
});

/** What a VMA can have for an anon_vma: none, one of two, or that of a fork child with its ancestor's. */
type Chain = '-' | 'A' | 'B' | 'F';
const CHAINS: readonly Chain[] = ['-', 'A', 'B', 'F'];
const NEIGHBOURS: readonly (Chain | null)[] = [null, ...CHAINS];

interface Part {
  readonly start: number;
  readonly end: number;
  readonly chain: Chain;
  /** Has a flag that a merge hands on. */
  readonly sticky: boolean;
}

function part(start: number, end: number, chain: Chain | null, sticky = false): Part[] {
  return chain === null ? [] : [{ start, end, chain, sticky }];
}

const draw = (parts: readonly Part[]): string =>
  parts.map((p) => `[${p.start},${p.end})${p.chain}${p.sticky ? 's' : ''}`).join(' ');

/** Whether two parts may be one VMA: a chain goes over to an unfaulted part, but not a fork child's. */
function fits(a: Chain | null, b: Chain | null): boolean {
  if (a === null || b === null) return false;
  if (a === '-' || b === '-') return a !== 'F' && b !== 'F';
  return a === b;
}

/** Whether the two neighbours of a part that fits both fit each other. */
function agree(a: Chain | null, b: Chain | null): boolean {
  return a === '-' || b === '-' || a === b;
}

/** One VMA of several parts; its chain is that of any part that has one. */
function joined(parts: readonly Part[]): Part[] {
  const chain = parts.map((p) => p.chain).find((each) => each !== '-') ?? '-';
  const sticky = parts.some((p) => p.sticky);
  return part(parts[0]?.start ?? 0, parts.at(-1)?.end ?? 0, chain, sticky);
}

/** A machine with a VMA of each chain to copy from, far away. */
function unitWithChains(): { u: VmaUnit; give: (vma: vm_area_struct, chain: Chain) => void } {
  const u = new VmaUnit();
  const donors = {
    A: u.fault(u.link(0x20, 0x22)),
    B: u.fault(u.link(0x30, 0x32)),
    F: u.forked(u.link(0x40, 0x42)),
  };
  return {
    u,
    give: (vma, chain) => {
      if (chain !== '-') u.share(vma, donors[chain]);
    },
  };
}

/** The VMAs before the donors. */
function partsOf(u: VmaUnit): Part[] {
  const names = new Map(
    [0x20, 0x30, 0x40].map((page, i) => [u.world.vma(page).anon_vma, CHAINS[i + 1] ?? '-']),
  );
  return u.world
    .list()
    .filter((vma) => vma.vm_end <= u.at(0x20))
    .flatMap((vma) =>
      part(
        (vma.vm_start - u.at(0)) / PAGE_SIZE,
        (vma.vm_end - u.at(0)) / PAGE_SIZE,
        vma.anon_vma === null ? '-' : (names.get(vma.anon_vma) ?? '-'),
        (vma.vm_flags & VM_MAYBE_GUARD) !== 0,
      ),
    );
}

const BOTH = [false, true];
const stickyFlags = (sticky: boolean): number => (sticky ? FLAGS | VM_MAYBE_GUARD : FLAGS);

describe('every combination', () => {
  test.each(NEIGHBOURS)('of a new range or a copy, with %s before it', (left) => {
    for (const right of NEIGHBOURS) {
      for (const source of CHAINS) {
        for (const close of BOTH) {
          for (const sticky of BOTH) {
            const { u, give } = unitWithChains();
            if (left !== null) give(u.link(0, 3), left);
            if (right !== null) {
              const next = u.link(7, 10, stickyFlags(sticky));
              next.vm_ops = close ? VM_OPS_SPECIAL : VM_OPS_NONE;
              give(next, right);
            }
            // What mmap() asks for has no chain; what mremap() asks for has that of the VMA it copies.
            const copied = source === '-' ? null : u.link(0x50, 0x54);
            if (copied !== null) give(copied, source);
            u.mergeNew(3, 7, FLAGS, copied);

            const toLeft = fits(left, source);
            const toRight = fits(source, right) && (!toLeft || (agree(left, right) && !close));
            const prev = part(0, 3, left);
            const next = part(7, 10, right, sticky);
            const middle = toLeft || toRight ? part(3, 7, source) : [];
            const whole = [...(toLeft ? prev : []), ...middle, ...(toRight ? next : [])];
            const expected = [
              ...(toLeft ? [] : prev),
              ...(whole.length > 0 ? joined(whole) : []),
              ...(toRight ? [] : next),
            ];
            const name = `${left} ${source} ${right}, close ${close}, sticky ${sticky}`;
            expect(draw(partsOf(u)), name).toBe(draw(expected));
            expect(u.problems(), name).toEqual([]);
          }
        }
      }
    }
  });

  const ranges = [
    [3, 7],
    [3, 5],
    [5, 7],
    [4, 6],
  ] as const;
  const closes = ['none', 'middle', 'next'] as const;

  test.each(NEIGHBOURS)('of a VMA that is changed, with %s before it', (left) => {
    for (const right of NEIGHBOURS) {
      for (const own of CHAINS) {
        for (const [start, end] of ranges) {
          for (const close of closes) {
            const { u, give } = unitWithChains();
            const before = left === null ? null : u.link(0, 3);
            const changed = u.link(3, 7);
            const after = right === null ? null : u.link(7, 10);
            if (before !== null && left !== null) give(before, left);
            give(changed, own);
            if (after !== null && right !== null) give(after, right);
            if (close === 'middle') changed.vm_ops = VM_OPS_SPECIAL;
            if (close === 'next' && after !== null) after.vm_ops = VM_OPS_SPECIAL;
            u.mergeExisting(start === 3 ? before : changed, changed, start, end);

            const whole = start === 3 && end === 7;
            const stays = whole && close === 'middle';
            const toLeft = !stays && start === 3 && fits(left, own);
            const toRight =
              !stays &&
              end === 7 &&
              fits(own, right) &&
              (!toLeft || (agree(left, right) && close !== 'next'));
            const prev = part(0, 3, left);
            const next = part(7, 10, right);
            const all =
              toLeft || toRight
                ? [
                    ...(toLeft ? [] : prev),
                    ...(start > 3 ? part(3, start, own) : []),
                    ...joined([
                      ...(toLeft ? prev : []),
                      ...part(start, end, own),
                      ...(toRight ? next : []),
                    ]),
                    ...(end < 7 ? part(end, 7, own) : []),
                    ...(toRight ? [] : next),
                  ]
                : [...prev, ...part(3, 7, own), ...next];
            const name = `${left} ${own} ${right}, [${start},${end}), close ${close}`;
            expect(draw(partsOf(u)), name).toBe(draw(all));
            if (after !== null && close === 'none' && !toRight) {
              expect(u.wasLocked(after), name).toBe(false);
            }
            expect(u.problems(), name).toEqual([]);
          }
        }
      }
    }
  });

  test('of sticky flags: the survivor has those of all parts that it is made of', () => {
    for (const [start, end] of ranges.slice(0, 3)) {
      for (const left of BOTH) {
        for (const own of BOTH) {
          for (const right of BOTH) {
            const { u } = unitWithChains();
            const before = u.link(0, 3, stickyFlags(left));
            const changed = u.link(3, 7, stickyFlags(own));
            u.link(7, 10, stickyFlags(right));
            const prev = start === 3 ? before : changed;
            u.mergeExisting(prev, changed, start, end, stickyFlags(own));
            const expected = [
              ...(start > 3 ? [...part(0, 3, '-', left), ...part(3, start, '-', own)] : []),
              ...joined([
                ...(start === 3 ? part(0, 3, '-', left) : []),
                ...part(start, end, '-', own),
                ...(end === 7 ? part(7, 10, '-', right) : []),
              ]),
              ...(end < 7 ? [...part(end, 7, '-', own), ...part(7, 10, '-', right)] : []),
            ];
            const name = `${left} ${own} ${right}, [${start},${end})`;
            expect(draw(partsOf(u)), name).toBe(draw(expected));
            expect(u.problems(), name).toEqual([]);
          }
        }
      }
    }
  });
});
