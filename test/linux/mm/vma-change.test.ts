/**
 * The tests of the kernel's tools/testing/vma (v6.18) that split, grow, shrink and copy VMAs, under the names
 * that they have there. Where those look at a counting stub of anon_vma_clone(), these look at the links.
 */
import { describe, expect, test } from 'vitest';
import { VM_ACCOUNT, VM_MAYREAD, VM_READ } from '../../../src/linux/mm/mm.ts';
import {
  copy_vma,
  vma_expand,
  vma_merge_extend,
  vma_modify_flags,
  vma_shrink,
} from '../../../src/linux/mm/vma.ts';
import { mmap_region } from '../../../src/linux/mm/vma_map.ts';
import { VMG_STATE, type vma_merge_struct } from '../../../src/linux/mm/vma_rules.ts';
import type { vm_area_struct } from '../../../src/linux/mm_types.ts';
import { FLAGS, VmaUnit } from './vma-unit.ts';

const ENOMEM = -12;

/** A test of tools/testing/vma: after it, everything must be consistent. */
function unit(name: string, body: (u: VmaUnit) => void): void {
  test(name, () => {
    const u = new VmaUnit();
    body(u);
    expect(u.problems()).toEqual([]);
  });
}

/** What vma_expand() is asked for: `target` over [start, end), swallowing `next` if that ends there. */
function expansion(
  u: VmaUnit,
  target: vm_area_struct,
  end: number,
  next: vm_area_struct | null = null,
): vma_merge_struct {
  const vmg = VMG_STATE(u.mm, target.vm_start, u.at(end), FLAGS, target.vm_pgoff);
  vmg.target = target;
  vmg.next = next;
  return vmg;
}

describe('vma_modify_flags', () => {
  unit('simple_modify: the middle of a VMA stays the old object, its ends are new', (u) => {
    const vma = u.link(0, 3);
    const flags = VM_READ | VM_MAYREAD;
    const changed = u.run(() => vma_modify_flags(vma, vma, u.at(1), u.at(2), flags));
    expect(changed).toBe(vma);
    expect(u.vmas()).toBe('[0,1) [1,2) [2,3)');
    expect(u.world.vma(1)).toBe(vma);
    // Splitting is all that the function does: the flags are the caller's to set.
    expect(u.world.list().map((each) => each.vm_flags)).toEqual([FLAGS, FLAGS, FLAGS]);
    expect(u.mm.map_count).toBe(3);
  });
});

describe('vma_expand and vma_shrink', () => {
  unit('simple_expand: a VMA grows over what is free behind it', (u) => {
    const vma = u.link(0, 1);
    expect(u.run(() => vma_expand(expansion(u, vma, 3)))).toBe(0);
    expect(u.vmas()).toBe('[0,3)');
  });

  unit('simple_shrink: a VMA loses its end', (u) => {
    const vma = u.link(0, 3);
    expect(u.run(() => vma_shrink(vma, u.at(0), u.at(1), u.pgoff(0)))).toBe(0);
    expect(u.vmas()).toBe('[0,1)');
  });

  unit('simple_shrink of the other end: the page offset goes along', (u) => {
    const vma = u.fault(u.link(0, 3));
    expect(u.run(() => vma_shrink(vma, u.at(2), u.at(3), u.pgoff(2)))).toBe(0);
    expect(u.vmas()).toBe('[2,3) A');
  });
});

describe('dup_anon_vma', () => {
  unit('expanding over a faulted next takes over its chain', (u) => {
    const prev = u.link(0, 3);
    const next = u.fault(u.link(3, 5));
    const { anon_vma } = next;
    expect(u.run(() => vma_expand(expansion(u, prev, 5, next)))).toBe(0);
    expect(prev.anon_vma).toBe(anon_vma);
    expect(u.vmas()).toBe('[0,5) A');
    expect(u.world.chain(0)).toBe('A');
    expect(u.world.counts(0)).toEqual([1, 1, 1]);
  });

  const parts = [
    { name: 'next', at: 2, end: 5, result: '[0,8) A' },
    { name: 'middle', at: 1, end: 5, result: '[0,8) A' },
  ];
  test.each(parts)('merging three VMAs, $name has the chain: prev gets it', ({
    at,
    end,
    result,
  }) => {
    const u = new VmaUnit();
    const three = [u.link(0, 3), u.link(3, 5), u.link(5, 8)] as const;
    const [prev, middle] = three;
    const { anon_vma } = u.fault(three[at] as vm_area_struct);
    const { vma, vmg } = u.mergeExisting(prev, middle, 3, end);
    expect(vma).toBe(prev);
    expect(vmg.state).toBe('success');
    expect(prev.anon_vma).toBe(anon_vma);
    expect(u.vmas()).toBe(result);
    expect(u.world.counts(0)).toEqual([1, 1, 1]);
    expect(u.problems()).toEqual([]);
  });

  unit('a first part of a faulted VMA that goes to prev takes the chain along', (u) => {
    const prev = u.link(0, 3);
    const middle = u.fault(u.link(3, 8));
    expect(u.mergeExisting(prev, middle, 3, 5).vma).toBe(prev);
    expect(u.vmas()).toBe('[0,5) A [5,8) A');
    expect(u.world.counts(0)).toEqual([1, 2, 1]);
  });

  unit('a last part of a faulted VMA that goes to next takes the chain along', (u) => {
    const middle = u.fault(u.link(0, 5));
    const next = u.link(5, 8);
    expect(u.mergeExisting(middle, middle, 3, 5).vma).toBe(next);
    expect(u.vmas()).toBe('[0,3) A [3,8) A');
    expect(u.world.counts(3)).toEqual([1, 2, 1]);
  });
});

describe('vmi_prealloc_fail', () => {
  /** Fails the allocation for the tree: the one after that of the single link. Returns how many were asked for. */
  const failTree = (u: VmaUnit, body: () => void): number => {
    let asked = 0;
    u.world.m.setChooser((kind) => (kind === 'fail_alloc' && asked++ === 1 ? 1 : 0));
    body();
    u.world.m.setChooser(() => 0);
    return asked;
  };

  unit('a merge that cannot be stored gives the chain back', (u) => {
    const prev = u.link(0, 3);
    const middle = u.fault(u.link(3, 5));
    const asked = failTree(u, () => {
      const { vma, vmg } = u.mergeExisting(prev, middle, 3, 5);
      expect([vma, vmg.state]).toEqual([null, 'error_nomem']);
    });
    expect(asked).toBe(2);
    expect(u.vmas()).toBe('[0,3) [3,5) A');
    expect(u.world.counts(3)).toEqual([1, 1, 1]);
  });

  unit('an expansion that cannot be stored gives the chain back', (u) => {
    const prev = u.link(0, 3);
    const next = u.fault(u.link(3, 5));
    const vmg = expansion(u, prev, 5, next);
    const asked = failTree(u, () => {
      expect(u.run(() => vma_expand(vmg))).toBe(ENOMEM);
    });
    expect(asked).toBe(2);
    expect(vmg.state).toBe('error_nomem');
    expect(u.vmas()).toBe('[0,3) [3,5) A');
    expect(u.world.counts(3)).toEqual([1, 1, 1]);
  });
});

describe('vma_merge_extend', () => {
  unit('merge_extend: a VMA grows up to the next, and they become one', (u) => {
    const vma = u.link(0, 1);
    u.link(3, 4);
    expect(u.run(() => vma_merge_extend(vma, u.at(2) - u.at(0)))).toBe(vma);
    expect(u.wasLocked(vma)).toBe(true);
    expect(u.vmas()).toBe('[0,4)');
    expect(u.mm.map_count).toBe(1);
  });
});

describe('copy_vma', () => {
  const TWO_PAGES = 2 * 4096;

  unit('copies backwards into a VMA of its own', (u) => {
    const vma = u.link(3, 5);
    const copied = u.run(() => copy_vma(vma, u.at(0), TWO_PAGES, u.pgoff(0)));
    expect(copied?.new_vma).not.toBe(vma);
    expect(copied?.vma).toBe(vma);
    expect(copied?.new_vma.vm_refcnt).toBe(1);
    expect(u.vmas()).toBe('[0,2) [3,5)');
  });

  unit('copies next to a VMA that fits, which then grows', (u) => {
    const vma = u.link(0, 2);
    const next = u.link(6, 8);
    const copied = u.run(() => copy_vma(vma, u.at(4), TWO_PAGES, u.pgoff(4)));
    expect(copied?.new_vma).toBe(next);
    expect(copied?.vma).toBe(vma);
    expect(u.vmas()).toBe('[0,2) [4,8)');
  });
});

describe('mmap_region', () => {
  unit('mmap_region_basic: what lies side by side is one VMA', (u) => {
    const map = (page: number): void => {
      const at = u.at(page);
      const end = 3 * 4096;
      expect(u.run(() => mmap_region(null, at, end, FLAGS, u.pgoff(page)))).toBe(at);
    };
    for (const page of [0x300, 0x250, 0x303, 0x24d]) map(page);
    expect(u.mm.map_count).toBe(2);
    expect(u.vmas()).toBe(`[${0x24d},${0x253}) [${0x300},${0x306})`);
    expect(u.world.list().every((vma) => vma.vm_flags === (FLAGS | VM_ACCOUNT))).toBe(true);
    expect(u.world.problems()).toEqual([]);
  });
});
