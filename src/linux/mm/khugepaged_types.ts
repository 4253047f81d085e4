/** mm/khugepaged.c, mm/mm_slot.h v6.18: the structs of khugepaged. */
import { type list_head, type Obj, type Ptr, type spinlock_t, struct } from '../../sim/struct.ts';
import type { mm_struct } from '../mm_types.ts';

/** struct mm_slot: an address space that khugepaged scans. */
export interface khugepaged_mm_slot extends Obj {
  /** In the list of all slots; protected by khugepaged_mm_lock. Linux hashes the same slots by mm. */
  mm_node: list_head;
  /** The slot holds a reference (mm_count). Null in the head of the list. */
  mm: Ptr<mm_struct>;
}

export const khugepaged_mm_slot_cachep = struct<khugepaged_mm_slot>('khugepaged_mm_slot', {
  mm_node: 'list',
  mm: 'p',
});

/** The variables of mm/khugepaged.c, with struct khugepaged_scan, the cursor. */
export interface khugepaged_globals extends Obj {
  /** Protects the list of slots and the cursor's slot. */
  khugepaged_mm_lock: spinlock_t;
  /** Head of the list. */
  scan_mm_head: Ptr<khugepaged_mm_slot>;
  /** Slot that is scanned, or null between two passes. */
  scan_mm_slot: Ptr<khugepaged_mm_slot>;
  /** Where in its mm the scan goes on. */
  scan_address: number;
  khugepaged_pages_collapsed: number;
  khugepaged_full_scans: number;
}

export const khugepaged_globals_cachep = struct<khugepaged_globals>('khugepaged_globals', {
  khugepaged_mm_lock: 'spinlock',
  scan_mm_head: 'p',
  scan_mm_slot: 'p',
  scan_address: 'n',
  khugepaged_pages_collapsed: 'n',
  khugepaged_full_scans: 'n',
});
