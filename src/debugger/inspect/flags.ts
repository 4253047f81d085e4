/** Bits as letters and names: vm_flags as /proc/PID/maps and smaps print them, page flags, PTE bits. */
import * as mm from '../../linux/mm/mm.ts';
import { PAGE_FLAG_NAMES } from '../../linux/mm/page-flags.ts';
import { isPresent, nonPresentKind } from './page-walk.ts';

/** smaps VmFlags, in the order in which Linux prints them (by bit number). */
const VM_FLAG_CODES: readonly (readonly [bit: number, code: string, name: string])[] = [
  [mm.VM_READ, 'rd', 'VM_READ'],
  [mm.VM_WRITE, 'wr', 'VM_WRITE'],
  [mm.VM_EXEC, 'ex', 'VM_EXEC'],
  [mm.VM_SHARED, 'sh', 'VM_SHARED'],
  [mm.VM_MAYREAD, 'mr', 'VM_MAYREAD'],
  [mm.VM_MAYWRITE, 'mw', 'VM_MAYWRITE'],
  [mm.VM_MAYEXEC, 'me', 'VM_MAYEXEC'],
  [mm.VM_MAYSHARE, 'ms', 'VM_MAYSHARE'],
  [mm.VM_GROWSDOWN, 'gd', 'VM_GROWSDOWN'],
  [mm.VM_PFNMAP, 'pf', 'VM_PFNMAP'],
  [mm.VM_MAYBE_GUARD, 'gu', 'VM_MAYBE_GUARD'],
  [mm.VM_UFFD_WP, 'uw', 'VM_UFFD_WP'],
  [mm.VM_LOCKED, 'lo', 'VM_LOCKED'],
  [mm.VM_IO, 'io', 'VM_IO'],
  [mm.VM_SEQ_READ, 'sr', 'VM_SEQ_READ'],
  [mm.VM_RAND_READ, 'rr', 'VM_RAND_READ'],
  [mm.VM_DONTCOPY, 'dc', 'VM_DONTCOPY'],
  [mm.VM_DONTEXPAND, 'de', 'VM_DONTEXPAND'],
  [mm.VM_LOCKONFAULT, 'lf', 'VM_LOCKONFAULT'],
  [mm.VM_ACCOUNT, 'ac', 'VM_ACCOUNT'],
  [mm.VM_NORESERVE, 'nr', 'VM_NORESERVE'],
  [mm.VM_HUGETLB, 'ht', 'VM_HUGETLB'],
  [mm.VM_SYNC, 'sf', 'VM_SYNC'],
  [mm.VM_WIPEONFORK, 'wf', 'VM_WIPEONFORK'],
  [mm.VM_DONTDUMP, 'dd', 'VM_DONTDUMP'],
  [mm.VM_MIXEDMAP, 'mm', 'VM_MIXEDMAP'],
  [mm.VM_HUGEPAGE, 'hg', 'VM_HUGEPAGE'],
  [mm.VM_NOHUGEPAGE, 'nh', 'VM_NOHUGEPAGE'],
  [mm.VM_MERGEABLE, 'mg', 'VM_MERGEABLE'],
  [mm.VM_DROPPABLE, 'dp', 'VM_DROPPABLE'],
  [mm.VM_SEALED, 'sl', 'VM_SEALED'],
];

/** Values of VM_* by name, for expressions. */
export const VM_FLAG_VALUES: ReadonlyMap<string, number> = new Map(
  VM_FLAG_CODES.map(([bit, , name]) => [name, bit >>> 0]),
);

const codesOf = new Map<number, string>();

/** Two-letter codes of smaps: `rd wr mr mw me ac`. */
export function vmFlagCodes(flags: number): string {
  let text = codesOf.get(flags);
  if (text === undefined) {
    text = VM_FLAG_CODES.filter(([bit]) => (flags & bit) !== 0)
      .map(([, code]) => code)
      .join(' ');
    codesOf.set(flags, text);
  }
  return text;
}

/** `VM_READ|VM_WRITE`, 0 when none is set. */
export function vmFlagNames(flags: number): string {
  const names = VM_FLAG_CODES.filter(([bit]) => (flags & bit) !== 0).map(([, , name]) => name);
  return names.join('|') || '0';
}

/** `rw-p`. */
export function permsOf(flags: number): string {
  return (
    ((flags & mm.VM_READ) !== 0 ? 'r' : '-') +
    ((flags & mm.VM_WRITE) !== 0 ? 'w' : '-') +
    ((flags & mm.VM_EXEC) !== 0 ? 'x' : '-') +
    ((flags & mm.VM_MAYSHARE) !== 0 ? 's' : 'p')
  );
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
