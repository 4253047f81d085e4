import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  _PAGE_ACCESSED,
  _PAGE_DIRTY,
  _PAGE_PRESENT,
  _PAGE_PROTNONE,
  _PAGE_RW,
  _PAGE_SPECIAL,
  is_guard_swp_entry,
  is_migration_entry,
  is_migration_entry_dirty,
  is_migration_entry_young,
  is_pte_marker,
  is_readable_exclusive_migration_entry,
  is_readable_migration_entry,
  is_swap_pte,
  is_writable_migration_entry,
  MAX_PFN,
  make_migration_pte,
  make_pte_marker,
  migration_kind,
  migration_pfn,
  migration_pte_with_kind,
  PTE_MARKER_GUARD,
  PTE_MARKER_POISONED,
  pfn_pte,
  pte_dirty,
  pte_is_swap_entry,
  pte_marker_get,
  pte_mkclean,
  pte_mkdirty,
  pte_mkold,
  pte_mkwrite,
  pte_mkyoung,
  pte_modify,
  pte_none,
  pte_pfn,
  pte_present,
  pte_protnone,
  pte_special,
  pte_swp_clear_exclusive,
  pte_swp_exclusive,
  pte_swp_mkexclusive,
  pte_to_swp_entry,
  pte_write,
  pte_wrprotect,
  pte_young,
  swp_entry_to_pte,
} from '../../../src/linux/mm/pgtable.ts';
import { swp_entry, swp_offset, swp_type } from '../../../src/linux/mm/swap_entry.ts';

const pfns = fc.oneof(
  fc.integer({ min: 0, max: MAX_PFN }),
  fc.constantFrom(0, 1, 0x7f_ffff, 0x80_0000, MAX_PFN),
);
const BITS = [_PAGE_PRESENT, _PAGE_RW, _PAGE_ACCESSED, _PAGE_DIRTY, _PAGE_SPECIAL];
const prots = fc.subarray(BITS).map((bits) => bits.reduce((a, b) => a | b, _PAGE_PRESENT));

/** Every value is what a Uint32Array gives back. */
function stored(pte: number): number {
  expect(Number.isInteger(pte) && pte >= 0 && pte <= 0xffff_ffff).toBe(true);
  return new Uint32Array([pte])[0] as number;
}

describe('a present entry', () => {
  test('keeps its frame and its bits, up to the last frame', () => {
    fc.assert(
      fc.property(pfns, prots, (pfn, prot) => {
        const pte = stored(pfn_pte(pfn, prot));
        expect(pte_pfn(pte)).toBe(pfn);
        expect(pte_present(pte)).toBe(true);
        expect(pte_none(pte)).toBe(false);
        expect(is_swap_pte(pte)).toBe(false);
        expect(pte_is_swap_entry(pte) || is_migration_entry(pte) || is_pte_marker(pte)).toBe(false);
        expect(pte_write(pte)).toBe((prot & _PAGE_RW) !== 0);
        expect(pte_dirty(pte)).toBe((prot & _PAGE_DIRTY) !== 0);
        expect(pte_young(pte)).toBe((prot & _PAGE_ACCESSED) !== 0);
        expect(pte_special(pte)).toBe((prot & _PAGE_SPECIAL) !== 0);
      }),
    );
  });

  test('changes one bit at a time and stays unsigned', () => {
    fc.assert(
      fc.property(pfns, prots, (pfn, prot) => {
        const pte = pfn_pte(pfn, prot);
        for (const changed of [pte_mkwrite(pte), pte_wrprotect(pte), pte_mkdirty(pte)]) {
          expect(pte_pfn(stored(changed))).toBe(pfn);
        }
        expect(pte_write(pte_wrprotect(pte_mkwrite(pte)))).toBe(false);
        expect(pte_dirty(pte_mkclean(pte_mkdirty(pte)))).toBe(false);
        expect(pte_young(pte_mkold(pte_mkyoung(pte)))).toBe(false);
        expect(pte_write(pte_mkclean(pte_mkwrite(pte)))).toBe(true);
      }),
    );
  });

  test('under PROT_NONE keeps frame, accessed and dirty, and comes back', () => {
    fc.assert(
      fc.property(pfns, prots, (pfn, prot) => {
        const pte = pfn_pte(pfn, prot);
        const none = stored(pte_modify(pte, _PAGE_PROTNONE | _PAGE_ACCESSED));
        expect(pte_protnone(none)).toBe(true);
        expect(pte_present(none)).toBe(true);
        expect(pte_write(none)).toBe(false);
        expect(pte_pfn(none)).toBe(pfn);
        expect(pte_dirty(none)).toBe(pte_dirty(pte));
        expect(pte_young(none)).toBe(pte_young(pte));
        const back = pte_modify(none, _PAGE_PRESENT | _PAGE_ACCESSED);
        expect(pte_protnone(back)).toBe(false);
        expect(pte_pfn(back)).toBe(pfn);
      }),
    );
  });
});

describe('an entry without a page', () => {
  test('for a swap slot keeps type, offset and the exclusive bit', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 3 }),
        fc.integer({ min: 1, max: 0xff_ffff }),
        fc.boolean(),
        (type, offset, exclusive) => {
          const entry = swp_entry(type, offset);
          expect([swp_type(entry), swp_offset(entry)]).toEqual([type, offset]);
          let pte = stored(swp_entry_to_pte(entry));
          if (exclusive) pte = stored(pte_swp_mkexclusive(pte));
          expect(pte_to_swp_entry(pte)).toBe(entry);
          expect(pte_swp_exclusive(pte)).toBe(exclusive);
          expect(pte_swp_exclusive(pte_swp_clear_exclusive(pte))).toBe(false);
          expect(pte_is_swap_entry(pte)).toBe(true);
          expect(is_swap_pte(pte) && !pte_present(pte) && !pte_none(pte)).toBe(true);
          expect(is_migration_entry(pte) || is_pte_marker(pte)).toBe(false);
        },
      ),
    );
  });

  test('for a migration keeps frame, kind, young and dirty', () => {
    fc.assert(
      fc.property(
        pfns,
        fc.integer({ min: 0, max: 2 }),
        fc.boolean(),
        fc.boolean(),
        (pfn, kind, young, dirty) => {
          const pte = stored(make_migration_pte(pfn, kind, young, dirty));
          expect(is_migration_entry(pte) && is_swap_pte(pte)).toBe(true);
          expect(pte_is_swap_entry(pte) || is_pte_marker(pte)).toBe(false);
          expect(migration_pfn(pte)).toBe(pfn);
          expect(migration_kind(pte)).toBe(kind);
          expect(is_migration_entry_young(pte)).toBe(young);
          expect(is_migration_entry_dirty(pte)).toBe(dirty);
          expect([
            is_readable_migration_entry(pte),
            is_readable_exclusive_migration_entry(pte),
            is_writable_migration_entry(pte),
          ]).toEqual([kind === 0, kind === 1, kind === 2]);
          const read = stored(migration_pte_with_kind(pte, 0));
          expect(is_readable_migration_entry(read)).toBe(true);
          expect(migration_pfn(read)).toBe(pfn);
          expect(is_migration_entry_dirty(read)).toBe(dirty);
        },
      ),
    );
  });

  test('for a marker keeps which', () => {
    const guard = make_pte_marker(PTE_MARKER_GUARD);
    expect(is_pte_marker(guard) && is_guard_swp_entry(guard) && is_swap_pte(guard)).toBe(true);
    expect(is_guard_swp_entry(make_pte_marker(PTE_MARKER_POISONED))).toBe(false);
    expect(pte_marker_get(guard)).toBe(PTE_MARKER_GUARD);
  });
});
