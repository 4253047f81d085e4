/**
 * include/linux/mm_types.h, rmap.h, fs.h v6.18: the structs of the simulated kernel. Word sizes are
 * ours; names are Linux's. What protects a field is said where it is not obvious.
 *
 * vm_flags are 32-bit: VM_SEALED and VM_DROPPABLE (bits 42 and 40 in Linux) take bits that the
 * simulator has no other use for (mm.ts).
 */
import {
  type FrameObj,
  frames,
  type list_head,
  type Obj,
  type Ptr,
  type rb_node,
  type rb_root,
  type rw_semaphore,
  type spinlock_t,
  struct,
} from '../sim/struct.ts';

/** struct mm_struct. VMA fields and the tree are protected by mmap_lock. */
export interface mm_struct extends Obj {
  /** Stands in for mm_mt: an augmented red-black tree of VMAs (mm/vma_tree.ts). */
  mm_rb: rb_root;
  /** Number of VMAs. */
  map_count: number;
  mmap_lock: rw_semaphore;
  /** Odd while mmap_lock is held for write (seqcount). */
  mm_lock_seq: number;
  page_table_lock: spinlock_t;
  /** Table number of the top-level page table. */
  pgd: number;
  pgtables_bytes: number;
  mmap_base: number;
  task_size: number;
  total_vm: number;
  locked_vm: number;
  pinned_vm: number;
  data_vm: number;
  exec_vm: number;
  stack_vm: number;
  def_flags: number;
  start_brk: number;
  brk: number;
  start_stack: number;
  /** Resident set counters, in pages. */
  rss_file: number;
  rss_anon: number;
  rss_shmem: number;
  rss_swap: number;
  /** MMF_* bits. */
  flags: number;
  /** Odd while fork write-protects this mm's page tables. */
  write_protect_seq: number;
  mm_users: number;
  mm_count: number;
  /** Small unique number; names the mm on screen and in large-folio map counts. */
  mm_id: number;
  /** Text id of the process name. */
  owner: number;
}

export const mm_cachep = struct<mm_struct>('mm_struct', {
  mm_rb: 'rb_root',
  map_count: 'n',
  mmap_lock: 'rwsem',
  mm_lock_seq: 'n',
  page_table_lock: 'spinlock',
  pgd: 'n',
  pgtables_bytes: 'n',
  mmap_base: 'n',
  task_size: 'n',
  total_vm: 'n',
  locked_vm: 'n',
  pinned_vm: 'n',
  data_vm: 'n',
  exec_vm: 'n',
  stack_vm: 'n',
  def_flags: 'n',
  start_brk: 'n',
  brk: 'n',
  start_stack: 'n',
  rss_file: 'n',
  rss_anon: 'n',
  rss_shmem: 'n',
  rss_swap: 'n',
  flags: 'n',
  write_protect_seq: 'n',
  mm_users: 'n',
  mm_count: 'n',
  mm_id: 'n',
  owner: 'n',
});

/**
 * struct vm_area_struct. Written under mmap_lock (write) and the VMA's own write lock; vm_start,
 * vm_end and vm_pgoff also under the anon_vma root lock and i_mmap_rwsem if linked there. The slab is
 * typesafe: lock_vma_under_rcu() may look at a freed VMA.
 */
export interface vm_area_struct extends Obj {
  vm_start: number;
  vm_end: number;
  vm_mm: Ptr<mm_struct>;
  vm_page_prot: number;
  vm_flags: number;
  /** mm_lock_seq of the critical section that write-locked this VMA. */
  vm_lock_seq: number;
  /** 0 detached, 1 attached, +1 per reader, +VMA_LOCK_OFFSET while a writer enters. */
  vm_refcnt: number;
  /** anon_vma_chain objects of this VMA, newest first. */
  anon_vma_chain: list_head;
  /** Where new anonymous folios go; NULL: unfaulted. Set once, under page_table_lock. */
  anon_vma: Ptr<anon_vma>;
  /** Which operations table (mm.ts: VM_OPS_*); 0 = NULL = anonymous. */
  vm_ops: number;
  vm_pgoff: number;
  vm_file: Ptr<file>;
  vm_private_data: number;
  /** Node in mm_rb, and the largest gap below any VMA of its subtree. */
  vm_rb: rb_node;
  rb_subtree_gap: number;
  /** Node in vm_file->f_mapping->i_mmap. */
  shared_rb: rb_node;
  shared_rb_subtree_last: number;
}

export const vm_area_cachep = struct<vm_area_struct>(
  'vm_area_struct',
  {
    vm_start: 'n',
    vm_end: 'n',
    vm_mm: 'p',
    vm_page_prot: 'n',
    vm_flags: 'n',
    vm_lock_seq: 'n',
    vm_refcnt: 'n',
    anon_vma_chain: 'list',
    anon_vma: 'p',
    vm_ops: 'n',
    vm_pgoff: 'n',
    vm_file: 'p',
    vm_private_data: 'n',
    vm_rb: 'rb_node',
    rb_subtree_gap: 'n',
    shared_rb: 'rb_node',
    shared_rb_subtree_last: 'n',
  },
  { typesafe: true },
);

/** struct anon_vma. The lock that counts is root->rwsem; it protects the trees and counters of the whole family. */
export interface anon_vma extends Obj {
  root: anon_vma;
  rwsem: rw_semaphore;
  refcount: number;
  num_children: number;
  num_active_vmas: number;
  parent: Ptr<anon_vma>;
  /** Interval tree of anon_vma_chain by the VMA's page offsets. */
  rb_root: rb_root;
}

export const anon_vma_cachep = struct<anon_vma>(
  'anon_vma',
  {
    root: 'p',
    rwsem: 'rwsem',
    refcount: 'n',
    num_children: 'n',
    num_active_vmas: 'n',
    parent: 'p',
    rb_root: 'rb_root',
  },
  { typesafe: true },
);

/** struct anon_vma_chain: links one VMA with one anon_vma. */
export interface anon_vma_chain extends Obj {
  vma: vm_area_struct;
  anon_vma: anon_vma;
  /** In vma->anon_vma_chain; protected by mmap_lock and page_table_lock. */
  same_vma: list_head;
  /** In anon_vma->rb_root; protected by the root's rwsem. */
  rb: rb_node;
  rb_subtree_last: number;
}

export const anon_vma_chain_cachep = struct<anon_vma_chain>('anon_vma_chain', {
  vma: 'p',
  anon_vma: 'p',
  same_vma: 'list',
  rb: 'rb_node',
  rb_subtree_last: 'n',
});

/** struct address_space: the page cache of one inode and the VMAs that map it. */
export interface address_space extends Obj {
  host: Ptr<inode>;
  /** Interval tree of VMAs by vm_pgoff. */
  i_mmap: rb_root;
  i_mmap_rwsem: rw_semaphore;
  invalidate_lock: rw_semaphore;
  i_mmap_writable: number;
  nrpages: number;
  /** Table number of the page index (mm/filemap.ts), 0 while empty. */
  i_pages: number;
}

export const address_space_cachep = struct<address_space>('address_space', {
  host: 'p',
  i_mmap: 'rb_root',
  i_mmap_rwsem: 'rwsem',
  invalidate_lock: 'rwsem',
  i_mmap_writable: 'n',
  nrpages: 'n',
  i_pages: 'n',
});

export interface inode extends Obj {
  /** Text id of the path or `dev/zero`-style name. */
  i_name: number;
  i_size: number;
  i_mapping: Ptr<address_space>;
  /** mm.ts: FS_* kind (disk, tmpfs, device). */
  i_kind: number;
  i_count: number;
}

export const inode_cachep = struct<inode>('inode', {
  i_name: 'n',
  i_size: 'n',
  i_mapping: 'p',
  i_kind: 'n',
  i_count: 'n',
});

export interface file extends Obj {
  f_inode: Ptr<inode>;
  f_mapping: Ptr<address_space>;
  /** FMODE_* bits. */
  f_mode: number;
  f_flags: number;
  f_pos: number;
  f_count: number;
}

export const filp_cachep = struct<file>('file', {
  f_inode: 'p',
  f_mapping: 'p',
  f_mode: 'n',
  f_flags: 'n',
  f_pos: 'n',
  f_count: 'n',
});

/** struct files_struct: the descriptor table; entry = granule of the file, 0 = closed. */
export interface files_struct extends Obj {
  count: number;
  /** Table number (sim/table.ts) of up to 512 descriptors. */
  fdt: number;
}

export const files_cachep = struct<files_struct>('files_struct', { count: 'n', fdt: 'n' });

/** struct task_struct, as far as memory management looks at it. */
export interface task_struct extends Obj {
  pid: number;
  tgid: number;
  /** Text id. */
  comm: number;
  mm: Ptr<mm_struct>;
  active_mm: Ptr<mm_struct>;
  files: Ptr<files_struct>;
  real_parent: Ptr<task_struct>;
  /** Number of the sim task that runs it. */
  sim_id: number;
  /** 0 running, EXIT_ZOMBIE, EXIT_DEAD. */
  exit_state: number;
  exit_code: number;
  /** Task that waits in vfork() until this one execs or exits: its sim id, or 0. */
  vfork_waiter: number;
  /** PF_* bits. */
  flags: number;
}

export const task_struct_cachep = struct<task_struct>('task_struct', {
  pid: 'n',
  tgid: 'n',
  comm: 'n',
  mm: 'p',
  active_mm: 'p',
  files: 'p',
  real_parent: 'p',
  sim_id: 'n',
  exit_state: 'n',
  exit_code: 'n',
  vfork_waiter: 'n',
  flags: 'n',
});

/** struct page; a small folio is its page. */
export interface page extends FrameObj {
  /** PG_* bits (page-flags.ts). */
  flags: number;
  _refcount: number;
  /** Starts from -1. */
  _mapcount: number;
  /** Granule of the anon_vma, address_space or stable node, shifted left by 2, with PAGE_MAPPING_* in the low bits. */
  mapping: number;
  /** Page offset: needs more than 32 bits for anonymous pages. */
  index: number;
  /** Swap entry of a page in the swap cache; order of a free block. */
  private: number;
  /** LRU or free list neighbours: pfn + 1, 0 = none. */
  lru_next: number;
  lru_prev: number;
  /** Head page of a large folio, or null. */
  compound_head: page | null;
  /** Content id (mm/page_content.ts): 0 = all zero. */
  content: number;
}
export type folio = page;

export const mem_map = frames<page>({
  flags: 'i',
  _refcount: 'i',
  _mapcount: 'i',
  mapping: 'i',
  index: 'f',
  private: 'i',
  lru_next: 'i',
  lru_prev: 'i',
  compound_head: 'page',
  content: 'i',
});
