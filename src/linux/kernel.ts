/** What a kernel is: data. The running one is asked for named features, never for a version. */

import type { Operation } from '../sim/machine.ts';
import { activeMachine } from '../sim/machine.ts';
import type { K } from '../sim/wait.ts';
import type { mm_ops } from './mm/ops.ts';
import type { anon_rmap_ops } from './mm/rmap/ops.ts';
import type { folio } from './mm_types.ts';

/** Features that mechanism code may ask for. */
export type feature =
  /** VM_MAYBE_GUARD and sticky flags (6.18.44 stable, 6.19). */
  | 'maybe_guard'
  /** copy_vma() refuses a fork child's source and clones its chain into the target (6.18.y stable). */
  | 'copied_from'
  /** The lock of the oldest anon_vma stands for the whole family (2.6.36). */
  | 'root_lock'
  /** vma_adjust() takes the root's lock for splits, imports and moved starts (2.6.36). */
  | 'adjust_locks_root'
  /** anon_vma_prepare() links at the tail of the list (2.6.36). */
  | 'prepare_at_tail'
  /** page_add_anon_rmap() leaves a page under the anon_vma it has (2.6.36). */
  | 'keep_anchor'
  /** page_lock_anon_vma() looks at the map count again under the lock (2.6.36). */
  | 'lookup_recheck'
  /** fork sets vm_mm before it links the VMA (2.6.36). */
  | 'fork_sets_mm_first'
  /** A split that fails takes its links back (2.6.36). */
  | 'split_unlinks'
  /** vma_link() does not lock the anon_vma (2.6.36). */
  | 'link_without_lock'
  /** Migration holds a count of the page's anon_vma (2.6.35). */
  | 'pin_anon_vma'
  /** Migration leaves the stack of an unfinished execve() alone (2.6.35). */
  | 'skip_temporary_stack'
  /** Per-VMA locks: faults without mmap_lock (6.4). */
  | 'per_vma_lock';

export interface lock_tree_node {
  readonly depth: number;
  /** lockdep class: `mm_struct.mmap_lock`. */
  readonly cls: string;
}

/** Names that changed over the years. */
export interface era_words {
  readonly mmap_lock: 'mmap_sem' | 'mmap_lock';
  readonly folio: 'page' | 'folio';
}

export interface kernel {
  /** Preset name: `v6.18`. */
  readonly name: string;
  readonly title: string;
  readonly features: ReadonlySet<feature>;
  readonly anon_rmap: anon_rmap_ops;
  /** VMA engine, fault path, reclaim and migration. */
  readonly mm: mm_ops;
  /** What the people of the time called things: shown on screen. */
  readonly words: era_words;
  /** Bytes of a slab object, 64 bit, no debugging options: the costs table counts objects in these. */
  readonly object_bytes: Readonly<Record<string, number>>;
  /** Documented lock order, outermost first. */
  readonly lock_tree: readonly lock_tree_node[];
  /** What an allocation does that finds too little memory free (mm/page_alloc_slow.ts). */
  readonly alloc_pages_slowpath: (gfp: number, order: number) => K<folio | null>;
  /** Starts the kernel function that an operation of the scenario names. */
  readonly startOperation: (operation: Operation) => K<number>;
}

/** The kernel of the active machine. */
export function running_kernel(): kernel {
  return activeMachine().config.kernel as kernel;
}

export function has(name: feature): boolean {
  return running_kernel().features.has(name);
}

/** The running kernel's scheme of anonymous reverse mapping. */
export function anon_rmap(): anon_rmap_ops {
  return running_kernel().anon_rmap;
}

/** The running kernel's memory manager. */
export function memory_manager(): mm_ops {
  return running_kernel().mm;
}
