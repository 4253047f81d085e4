/** mm/ksm.c, mm/mm_slot.h v6.18: the structs of KSM. One NUMA node, so one stable and one unstable tree. */
import {
  type list_head,
  type mutex,
  type Obj,
  type Ptr,
  type rb_node,
  type rb_root,
  type spinlock_t,
  struct,
} from '../../sim/struct.ts';
import type { anon_vma, mm_struct } from '../mm_types.ts';

/** struct ksm_mm_slot and the struct mm_slot in it: an address space that ksmd scans. */
export interface ksm_mm_slot extends Obj {
  /** In the list of all slots; protected by ksm_mmlist_lock. Linux hashes the same slots by mm. */
  mm_node: list_head;
  /** The slot holds a reference (mm_count). Null in the head of the list. */
  mm: Ptr<mm_struct>;
  /** First of its items, which are in order of address. */
  rmap_list: Ptr<ksm_rmap_item>;
}

export const ksm_mm_slot_cachep = struct<ksm_mm_slot>('ksm_mm_slot', {
  mm_node: 'list',
  mm: 'p',
  rmap_list: 'p',
});

/**
 * struct ksm_stable_node: one KSM page, or a chain of nodes whose pages have the same content. It holds no
 * reference to its page: whether the page still points back tells whether it is still the same.
 */
export interface ksm_stable_node extends Obj {
  /** Node of the stable tree, unless is_dup. */
  node: rb_node;
  /** 1: linked into a chain, not into the tree (STABLE_NODE_DUP_HEAD in Linux's head). */
  is_dup: number;
  hlist_dup: list_head;
  /** Items whose address maps the page, newest first; of a chain: its nodes. Protected by the page's lock. */
  hlist: list_head;
  kpfn: number;
  /** Entries of hlist, or STABLE_NODE_CHAIN. */
  rmap_hlist_len: number;
}

export const ksm_stable_node_cachep = struct<ksm_stable_node>('ksm_stable_node', {
  node: 'rb_node',
  is_dup: 'n',
  hlist_dup: 'list',
  hlist: 'list',
  kpfn: 'n',
  rmap_hlist_len: 'n',
});

/** struct ksm_rmap_item: one address that ksmd scanned. The unions of Linux are fields of their own here. */
export interface ksm_rmap_item extends Obj {
  /** Next item of the mm. */
  rmap_list: Ptr<ksm_rmap_item>;
  /** With STABLE_FLAG: where the mappings of the address are found; holds a reference. */
  anon_vma: Ptr<anon_vma>;
  /** No reference of its own: the mm_slot has one. */
  mm: Ptr<mm_struct>;
  address: number;
  /** Low bits of Linux's address: UNSTABLE_FLAG with the scan that inserted it, or STABLE_FLAG. */
  flags: number;
  /** Of the page at the last scan. */
  oldchecksum: number;
  age: number;
  remaining_skips: number;
  /** In the unstable tree. */
  node: rb_node;
  /** Stable node whose hlist it is on; stays when the node is freed. */
  head: Ptr<ksm_stable_node>;
  hlist: list_head;
}

export const ksm_rmap_item_cachep = struct<ksm_rmap_item>('ksm_rmap_item', {
  rmap_list: 'p',
  anon_vma: 'p',
  mm: 'p',
  address: 'n',
  flags: 'n',
  oldchecksum: 'n',
  age: 'n',
  remaining_skips: 'n',
  node: 'rb_node',
  head: 'p',
  hlist: 'list',
});

/** The variables of mm/ksm.c. */
export interface ksm_globals extends Obj {
  /** Taken by ksmd for a whole batch. */
  ksm_thread_mutex: mutex;
  /** Protects the list of slots and the cursor's slot. */
  ksm_mmlist_lock: spinlock_t;
  root_stable_tree: rb_root;
  root_unstable_tree: rb_root;
  ksm_mm_head: Ptr<ksm_mm_slot>;
  /** struct ksm_scan, the cursor: slot, address, scans completed. */
  scan_mm_slot: Ptr<ksm_mm_slot>;
  scan_address: number;
  scan_seqnr: number;
  /** ksm_scan.rmap_list is a pointer to a link: that of this item, or of the slot itself if null. */
  scan_prev: Ptr<ksm_rmap_item>;
  ksm_pages_scanned: number;
  ksm_pages_shared: number;
  ksm_pages_sharing: number;
  ksm_pages_unshared: number;
  ksm_pages_skipped: number;
  ksm_rmap_items: number;
  ksm_stable_node_chains: number;
  ksm_stable_node_dups: number;
  ksm_max_page_sharing: number;
  ksm_smart_scan: number;
  /** Of KSM_RUN_*: what was last written to /sys/kernel/mm/ksm/run. */
  ksm_run: number;
  ksm_use_zero_pages: number;
  /** Entries that map the zero page because ksmd put it there. */
  ksm_zero_pages: number;
}

export const ksm_globals_cachep = struct<ksm_globals>('ksm_globals', {
  ksm_thread_mutex: 'mutex',
  ksm_mmlist_lock: 'spinlock',
  root_stable_tree: 'rb_root',
  root_unstable_tree: 'rb_root',
  ksm_mm_head: 'p',
  scan_mm_slot: 'p',
  scan_address: 'n',
  scan_seqnr: 'n',
  scan_prev: 'p',
  ksm_pages_scanned: 'n',
  ksm_pages_shared: 'n',
  ksm_pages_sharing: 'n',
  ksm_pages_unshared: 'n',
  ksm_pages_skipped: 'n',
  ksm_rmap_items: 'n',
  ksm_stable_node_chains: 'n',
  ksm_stable_node_dups: 'n',
  ksm_max_page_sharing: 'n',
  ksm_smart_scan: 'n',
  ksm_run: 'n',
  ksm_use_zero_pages: 'n',
  ksm_zero_pages: 'n',
});

/** ksm_run. */
export const KSM_RUN_STOP = 0;
export const KSM_RUN_MERGE = 1;
export const KSM_RUN_UNMERGE = 2;

/** rmap_hlist_len of a chain. */
export const STABLE_NODE_CHAIN = -1024;
/** flags of an item. */
export const SEQNR_MASK = 0xff;
export const UNSTABLE_FLAG = 0x100;
export const STABLE_FLAG = 0x200;
