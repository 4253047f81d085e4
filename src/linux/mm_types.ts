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
  type mutex,
  type Obj,
  type Ptr,
  type rb_node,
  type rb_root,
  type rw_semaphore,
  type spinlock_t,
  struct,
  type words,
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
  /** Where a bottom-up search starts. */
  mmap_legacy_base: number;
  task_size: number;
  total_vm: number;
  locked_vm: number;
  pinned_vm: number;
  data_vm: number;
  exec_vm: number;
  stack_vm: number;
  def_flags: number;
  /** context.pkey_allocation_map: protection keys that pkey_alloc() gave out. */
  pkey_allocation_map: number;
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
  /** The running program's file, or null for the first process. */
  exe_file: Ptr<file>;
  /** Text id of the process name. */
  owner: number;
  /** Items of this mm on stable nodes, and all of them. */
  ksm_merging_pages: number;
  /** Entries that map the zero page for ksmd. */
  ksm_zero_pages: number;
  ksm_rmap_items: number;
  /** In the list of address spaces that may have swap entries (mm/mmlist.ts). */
  mmlist: list_head;
  /** Hugh Dickins's scheme only: the member of a family that stands for this mm (mm/rmap/anonmm.ts). */
  anonmm: Ptr<Obj>;
  /** 2.4.0: what swap_out() may still look at in its round, and where it goes on. */
  swap_cnt: number;
  swap_address: number;
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
  mmap_legacy_base: 'n',
  task_size: 'n',
  total_vm: 'n',
  locked_vm: 'n',
  pinned_vm: 'n',
  data_vm: 'n',
  exec_vm: 'n',
  stack_vm: 'n',
  def_flags: 'n',
  pkey_allocation_map: 'n',
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
  exe_file: 'p',
  owner: 'n',
  ksm_merging_pages: 'n',
  ksm_zero_pages: 'n',
  ksm_rmap_items: 'n',
  mmlist: 'list',
  anonmm: 'p',
  swap_cnt: 'n',
  swap_address: 'n',
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
  /**
   * anon_vma_chain objects of this VMA, newest first. In 2.6.7 to 2.6.33 this is anon_vma_node: the VMA's place
   * on the list of its anon_vma.
   */
  anon_vma_chain: list_head;
  /** Where new anonymous folios go; NULL: unfaulted. Set once, under page_table_lock. */
  anon_vma: Ptr<anon_vma>;
  /** Which operations table (mm.ts: VM_OPS_*); 0 = NULL = anonymous. */
  vm_ops: number;
  vm_pgoff: number;
  vm_file: Ptr<file>;
  vm_private_data: number;
  /** Node in mm_rb, and the largest tree_gap of its subtree. Not a pointer field of Linux: vma_tree.ts. */
  vm_rb: rb_node;
  rb_subtree_gap: number;
  /** The range that the tree maps to this VMA (the maple tree's pivots), and the free space below it. */
  tree_start: number;
  tree_end: number;
  tree_gap: number;
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
    tree_start: 'n',
    tree_end: 'n',
    tree_gap: 'n',
    shared_rb: 'rb_node',
    shared_rb_subtree_last: 'n',
  },
  { typesafe: true },
);

/**
 * struct anon_vma of every kernel that has one: each scheme of mm/rmap/ uses the fields of its own. In v6.18
 * the lock that counts is root->rwsem; it protects the trees and counters of the whole family.
 */
export interface anon_vma extends Obj {
  root: anon_vma;
  rwsem: rw_semaphore;
  refcount: number;
  num_children: number;
  num_active_vmas: number;
  parent: Ptr<anon_vma>;
  /** Interval tree of anon_vma_chain by the VMA's page offsets. */
  rb_root: rb_root;
  /** 2.6.7 to 2.6.39: the lock that later was a mutex, then rwsem. */
  lock: spinlock_t;
  /** 3.0 to 3.7, of the root. */
  mutex: mutex;
  /** List of VMAs (2.6.7 to 2.6.33) or of anon_vma_chain (2.6.34 to 3.6), where later kernels have rb_root. */
  head: list_head;
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
    lock: 'spinlock',
    mutex: 'mutex',
    head: 'list',
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
  /** In anon_vma->head, where later kernels have rb; protected by the anon_vma's lock. */
  same_anon_vma: list_head;
}

export const anon_vma_chain_cachep = struct<anon_vma_chain>('anon_vma_chain', {
  vma: 'p',
  anon_vma: 'p',
  same_vma: 'list',
  rb: 'rb_node',
  rb_subtree_last: 'n',
  same_anon_vma: 'list',
});

/** struct address_space: the page cache of one inode and the VMAs that map it. */
export interface address_space extends Obj {
  host: Ptr<inode>;
  /** Interval tree of VMAs by vm_pgoff; before 2.6.9 a list_head or a prio_tree_root (mm/early26/file_vmas.ts). */
  i_mmap: rb_root;
  i_mmap_rwsem: rw_semaphore;
  invalidate_lock: rw_semaphore;
  i_mmap_writable: number;
  nrpages: number;
  /** Table number of the page index (mm/filemap.ts), 0 while empty. */
  i_pages: number;
  /** 2.3 and 2.4: VMAs on two lists instead of i_mmap, private ones (word 0) and shared ones (word 1); 2.6.0: i_mmap_shared. */
  i_mmap_lists: words;
  /** 2.3 and 2.4: protects those lists. */
  i_shared_lock: spinlock_t;
}

export const address_space_cachep = struct<address_space>('address_space', {
  host: 'p',
  i_mmap: 'rb_root',
  i_mmap_rwsem: 'rwsem',
  invalidate_lock: 'rwsem',
  i_mmap_writable: 'n',
  nrpages: 'n',
  i_pages: 'n',
  i_mmap_lists: ['words', 2],
  i_shared_lock: 'spinlock',
});

export interface inode extends Obj {
  /** Text id of the path or `dev/zero`-style name. */
  i_name: number;
  i_size: number;
  i_mapping: Ptr<address_space>;
  /** mm.ts: FS_* kind (disk, tmpfs, device). */
  i_kind: number;
  /** References by open files; at 0 an inode with a name stays cached, one without is evicted. */
  i_count: number;
  /** Names it has: 0 for memfd and shared anonymous memory. */
  i_nlink: number;
  /** Next of the list of all named inodes (fs/file.ts). */
  i_next: Ptr<inode>;
  /** What the disk holds where nothing was written yet: 0 zeros, 1 bytes (7 i + 1) mod 256 in page i. */
  i_fill: number;
  /** Pages that readahead takes at once, as the backing device has it (bdi->ra_pages, f_ra.ra_pages). */
  i_ra_pages: number;
  /** Table number of an index of contents written back (mm/filemap.ts: content id + 1), 0 while empty. */
  i_blocks: number;
  /** Held while the file is written to or truncated. */
  i_rwsem: rw_semaphore;
  /** tmpfs (struct shmem_falloc of i_private): the hole being punched, in pages; falloc_next 0: none. */
  falloc_start: number;
  falloc_next: number;
  /** tmpfs (shmem_inode_info.flags): VM_NORESERVE if its size is not charged. */
  shmem_flags: number;
  /** tmpfs (shmem_inode_info): pages in swap, who keeps it from eviction, and its place in shmem_swaplist. */
  swapped: number;
  stop_eviction: number;
  swaplist: list_head;
}

export const inode_cachep = struct<inode>('inode', {
  i_name: 'n',
  i_size: 'n',
  i_mapping: 'p',
  i_kind: 'n',
  i_count: 'n',
  i_nlink: 'n',
  i_next: 'p',
  i_fill: 'n',
  i_ra_pages: 'n',
  i_blocks: 'n',
  i_rwsem: 'rwsem',
  falloc_start: 'n',
  falloc_next: 'n',
  shmem_flags: 'n',
  swapped: 'n',
  stop_eviction: 'n',
  swaplist: 'list',
});

export interface file extends Obj {
  f_inode: Ptr<inode>;
  f_mapping: Ptr<address_space>;
  /** FMODE_* bits. */
  f_mode: number;
  f_flags: number;
  f_pos: number;
  f_count: number;
  /** Next of the task's or the kernel's list of files whose last reference went (fs/file_table.ts). */
  f_llist: Ptr<file>;
}

export const filp_cachep = struct<file>('file', {
  f_inode: 'p',
  f_mapping: 'p',
  f_mode: 'n',
  f_flags: 'n',
  f_pos: 'n',
  f_count: 'n',
  f_llist: 'p',
});

/**
 * struct files_struct: the descriptor table, two levels of page-table-sized tables (sim/table.ts) of 512
 * entries. A leaf entry is the granule of the file * 2 + close-on-exec; 0 = closed.
 */
export interface files_struct extends Obj {
  count: number;
  /** Table number of the upper level. */
  fdt: number;
}

export const files_cachep = struct<files_struct>('files_struct', { count: 'n', fdt: 'n' });

/** struct completion: `done` is set once. */
export interface completion extends Obj {
  done: number;
}

export const completion_cachep = struct<completion>('completion', { done: 'n' });

/** struct signal_struct (and the lock of sighand_struct): what the threads of one process share. */
export interface signal_struct extends Obj {
  siglock: spinlock_t;
  /** Task structs that refer to this. */
  sigcnt: number;
  /** Threads that have not been released, and threads that have not begun to exit. */
  nr_threads: number;
  live: number;
  /** SIGNAL_* bits. */
  flags: number;
  group_exit_code: number;
  /** Thread that execs and waits for the others to go. */
  group_exec_task: Ptr<task_struct>;
  notify_count: number;
  /** 1: killed for its memory (oom_mm is set in Linux): may use half of the reserve. */
  oom_victim: number;
  /** 1: in swapoff, which needs the memory: the first to be killed. */
  oom_flag_origin: number;
}

export const signal_cachep = struct<signal_struct>('signal_struct', {
  siglock: 'spinlock',
  sigcnt: 'n',
  nr_threads: 'n',
  live: 'n',
  flags: 'n',
  group_exit_code: 'n',
  group_exec_task: 'p',
  notify_count: 'n',
  oom_victim: 'n',
  oom_flag_origin: 'n',
});

/** A callback waiting for a grace period: struct rcu_head, with what it is embedded in. */
export interface rcu_head extends Obj {
  next: Ptr<rcu_head>;
  /** Which function (kernel/rcu_types.ts). */
  func: number;
  object: Ptr<Obj>;
}

export const rcu_head_cachep = struct<rcu_head>('rcu_head', { next: 'p', func: 'n', object: 'p' });

/** struct task_struct, as far as memory management looks at it. */
export interface task_struct extends Obj {
  pid: number;
  tgid: number;
  /** Text id. */
  comm: number;
  mm: Ptr<mm_struct>;
  active_mm: Ptr<mm_struct>;
  files: Ptr<files_struct>;
  signal: Ptr<signal_struct>;
  /** task_lock(): protects mm, files and vfork_done against other tasks. */
  alloc_lock: spinlock_t;
  real_parent: Ptr<task_struct>;
  group_leader: Ptr<task_struct>;
  /** Number of the sim task that runs it. */
  sim_id: number;
  /** 0 running, EXIT_ZOMBIE, EXIT_DEAD. */
  exit_state: number;
  exit_code: number;
  /** Completed when this task execs or exits: its parent waits in vfork(). */
  vfork_done: Ptr<completion>;
  /** PF_* bits. */
  flags: number;
  /** One for being listed, one for being scheduled: when both are gone an RCU callback drops `usage`. */
  rcu_users: number;
  /** References that keep the struct itself. */
  usage: number;
  /** 1 after another thread told it to die (a pending SIGKILL). */
  sigkill: number;
  /** Files to be released on the way back to user space. */
  task_works: Ptr<file>;
  /** Grace-period number when the outermost RCU read section was entered. */
  rcu_gp_seq: number;
}

export const task_struct_cachep = struct<task_struct>('task_struct', {
  pid: 'n',
  tgid: 'n',
  comm: 'n',
  mm: 'p',
  active_mm: 'p',
  files: 'p',
  signal: 'p',
  alloc_lock: 'spinlock',
  real_parent: 'p',
  group_leader: 'p',
  sim_id: 'n',
  exit_state: 'n',
  exit_code: 'n',
  vfork_done: 'p',
  flags: 'n',
  rcu_users: 'n',
  usage: 'n',
  sigkill: 'n',
  task_works: 'p',
  rcu_gp_seq: 'n',
});

/** Global variables of kernel/ and fs/; the one object, found through a fixed heap word (roots.ts). */
export interface process_globals extends Obj {
  /** Lists tasks and their relations. */
  tasklist_lock: spinlock_t;
  /** Named inodes, newest first. */
  inodes: Ptr<inode>;
  /** Files released by kernel tasks. */
  delayed_fput_list: Ptr<file>;
  last_mm_id: number;
  /** Number of the newest grace period. */
  rcu_gp_seq: number;
  /** Callbacks not yet waiting for a grace period, oldest first. */
  rcu_head: Ptr<rcu_head>;
  rcu_tail: Ptr<rcu_head>;
  /** Callbacks queued and not yet run. */
  rcu_pending: number;
  /** init_mm.mmlist: address spaces that may have swap entries. */
  mmlist: list_head;
  /** tmpfs inodes with pages in swap. */
  shmem_swaplist: list_head;
  /** To 2.6.6: the CPU's spare pte_chain (mm/rmap/pte_chain.ts). */
  local_pte_chain: Ptr<Obj>;
}

export const process_globals_cachep = struct<process_globals>('process_globals', {
  tasklist_lock: 'spinlock',
  inodes: 'p',
  delayed_fput_list: 'p',
  last_mm_id: 'n',
  rcu_gp_seq: 'n',
  rcu_head: 'p',
  rcu_tail: 'p',
  rcu_pending: 'n',
  mmlist: 'list',
  shmem_swaplist: 'list',
  local_pte_chain: 'p',
});

/** struct page; a small folio is its page. What only large folios have is in their tail pages (mm/large_folio.ts). */
export interface page extends FrameObj {
  /** PG_* bits (page-flags.ts). */
  flags: number;
  _refcount: number;
  /** Starts from -1. To 2.6.6 the union `pte` instead: an entry, a pte_chain, or -1 (mm/rmap/pte_chain.ts). */
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

/** Global variables of the VMA side of mm/ (mm/util.ts). */
export interface vma_globals extends Obj {
  /** Pages promised to private writable mappings. */
  vm_committed_as: number;
  /** Pages that one mapping may promise: RAM and swap of the machine that is simulated. */
  commit_limit: number;
  /** vm.max_map_count. */
  max_map_count: number;
}

export const vma_globals_cachep = struct<vma_globals>('vma_globals', {
  vm_committed_as: 'n',
  commit_limit: 'n',
  max_map_count: 'n',
});
