/** Bits as letters and names: vm_flags, page flags, PTE bits. */
import { vmFlagCodes as smapsCodes } from '../../linux/describe.ts';
import * as mm from '../../linux/mm/mm.ts';
import { PAGE_FLAG_NAMES } from '../../linux/mm/page-flags.ts';
import { isPresent, nonPresentKind } from './page-walk.ts';

/** By bit number of Linux, lowest first. */
const VM_FLAG_NAMES: readonly (readonly [bit: number, name: string])[] = [
  [mm.VM_READ, 'VM_READ'],
  [mm.VM_WRITE, 'VM_WRITE'],
  [mm.VM_EXEC, 'VM_EXEC'],
  [mm.VM_SHARED, 'VM_SHARED'],
  [mm.VM_MAYREAD, 'VM_MAYREAD'],
  [mm.VM_MAYWRITE, 'VM_MAYWRITE'],
  [mm.VM_MAYEXEC, 'VM_MAYEXEC'],
  [mm.VM_MAYSHARE, 'VM_MAYSHARE'],
  [mm.VM_GROWSDOWN, 'VM_GROWSDOWN'],
  [mm.VM_PFNMAP, 'VM_PFNMAP'],
  [mm.VM_MAYBE_GUARD, 'VM_MAYBE_GUARD'],
  [mm.VM_UFFD_WP, 'VM_UFFD_WP'],
  [mm.VM_LOCKED, 'VM_LOCKED'],
  [mm.VM_IO, 'VM_IO'],
  [mm.VM_SEQ_READ, 'VM_SEQ_READ'],
  [mm.VM_RAND_READ, 'VM_RAND_READ'],
  [mm.VM_DONTCOPY, 'VM_DONTCOPY'],
  [mm.VM_DONTEXPAND, 'VM_DONTEXPAND'],
  [mm.VM_LOCKONFAULT, 'VM_LOCKONFAULT'],
  [mm.VM_ACCOUNT, 'VM_ACCOUNT'],
  [mm.VM_NORESERVE, 'VM_NORESERVE'],
  [mm.VM_HUGETLB, 'VM_HUGETLB'],
  [mm.VM_SYNC, 'VM_SYNC'],
  [mm.VM_WIPEONFORK, 'VM_WIPEONFORK'],
  [mm.VM_DONTDUMP, 'VM_DONTDUMP'],
  [mm.VM_MIXEDMAP, 'VM_MIXEDMAP'],
  [mm.VM_HUGEPAGE, 'VM_HUGEPAGE'],
  [mm.VM_NOHUGEPAGE, 'VM_NOHUGEPAGE'],
  [mm.VM_MERGEABLE, 'VM_MERGEABLE'],
  [mm.VM_DROPPABLE, 'VM_DROPPABLE'],
  [mm.VM_SEALED, 'VM_SEALED'],
];

/** Values of VM_* by name, for expressions. */
export const VM_FLAG_VALUES: ReadonlyMap<string, number> = new Map(
  VM_FLAG_NAMES.map(([bit, name]) => [name, bit >>> 0]),
);

const codesOf = new Map<number, string>();

/** Two-letter codes of smaps: `rd wr mr mw me ac`. Most VMAs have one of a few sets. */
export function vmFlagCodes(flags: number): string {
  let text = codesOf.get(flags);
  if (text === undefined) {
    text = smapsCodes(flags);
    codesOf.set(flags, text);
  }
  return text;
}

/** `VM_READ|VM_WRITE`, 0 when none is set. */
export function vmFlagNames(flags: number): string {
  const names = VM_FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name);
  return names.join('|') || '0';
}

/** Names of the set bits of page.flags: `locked lru swapbacked`. */
export function pageFlagNames(flags: number): string {
  return PAGE_FLAG_NAMES.filter((_name, bit) => ((flags >>> bit) & 1) === 1).join(' ');
}

const PTE_BITS = ['PRESENT', 'RW', 'ACCESSED', 'DIRTY', 'PROTNONE', 'SPECIAL', 'PSE', 'SOFTW'];
const MIGRATION_KINDS = ['read', 'read-exclusive', 'write', '?'];

/** Decoded bits of a leaf entry: `PRESENT RW ACCESSED DIRTY`. */
export function pteBits(value: number): string {
  if (value === 0) return '';
  if (isPresent(value))
    return PTE_BITS.filter((_name, bit) => ((value >>> bit) & 1) === 1).join(' ');
  const on = (bit: number, name: string): string => ((value & bit) === 0 ? '' : ` ${name}`);
  switch (nonPresentKind(value)) {
    case 'swap':
      return `SWAP${on(8, 'EXCLUSIVE')}`;
    case 'migration':
      return `MIGRATION ${MIGRATION_KINDS[(value >>> 5) & 3]}${on(8, 'YOUNG')}${on(0x80, 'DIRTY')}`;
    case 'marker':
      return `MARKER${on(0x400, 'GUARD')}${on(0x200, 'POISONED')}${on(0x100, 'UFFD_WP')}`;
  }
}

/** What a leaf entry holds: `pfn 1f3`, `swap 0:12`, `migrating pfn 1f3`. */
export function pteText(value: number): string {
  if (value === 0) return 'none';
  const upper = (value >>> 8).toString(16);
  if (isPresent(value)) return `pfn ${upper}`;
  switch (nonPresentKind(value)) {
    case 'swap':
      return `swap ${(value >>> 5) & 3}:${upper}`;
    case 'migration':
      return `migrating pfn ${upper}`;
    case 'marker':
      return 'marker';
  }
}
