/** What a kernel is: data. The running one is asked for named features, never for a version. */

import type { Operation } from '../sim/machine.ts';
import { activeMachine } from '../sim/machine.ts';
import type { K } from '../sim/wait.ts';
import type { avc_list_features } from './kernels/avc_list.ts';
import type { avc_tree_features } from './kernels/avc_tree.ts';
import type { early24_features } from './kernels/early24.ts';
import type { early26_features } from './kernels/early26.ts';
import type { modern_features } from './kernels/modern.ts';
import type { mm_ops } from './mm/ops.ts';
import type { anon_rmap_ops } from './mm/rmap/ops.ts';
import type { folio } from './mm_types.ts';

/** Features that mechanism code may ask for; each is told of where its era's kernels are (kernels/). */
export type feature =
  | keyof typeof avc_list_features
  | keyof typeof avc_tree_features
  | keyof typeof early26_features
  | keyof typeof early24_features
  | keyof typeof modern_features;

export interface lock_tree_node {
  readonly depth: number;
  /** lockdep class: `mm_struct.mmap_lock`. */
  readonly cls: string;
}

/** Names that changed over the years. */
export interface era_words {
  readonly mmap_lock: 'mmap_sem' | 'mmap_lock';
  readonly folio: 'page' | 'folio';
  /** The lock of a file's mappings. */
  readonly i_mmap?:
    | 'i_shared_lock'
    | 'i_shared_sem'
    | 'i_mmap_lock'
    | 'i_mmap_mutex'
    | 'i_mmap_rwsem';
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
  /**
   * Bytes of a slab object, 64 bit, CONFIG_NUMA from 2.6.7, no debugging options: the costs table counts objects in
   * these. From 2.6.23 on as SLUB lays them out, whose free pointer stands behind an object that has a constructor
   * (anon_vma): 8 bytes more than the struct.
   */
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
