/**
 * The kernels that can be booted: presets as data. A kernel is a mechanism (its anon-rmap operations
 * record), named features that mechanism code asks for with has(), and its documented lock order.
 */
import type { feature, kernel, lock_tree_node } from './kernel.ts';
import { classic_mm } from './mm/classic/engine.ts';
import { modern_mm } from './mm/modern.ts';
import { anon_vma_chain_ops } from './mm/rmap/anon_vma_chain.ts';
import { anon_vma_list_ops } from './mm/rmap/anon_vma_list.ts';
import { startOperation } from './operations.ts';

/**
 * mm/rmap.c v6.18: the lock order at the head of the file, outermost first, by lockdep class as
 * ownerOf() names it. Not in Linux's list: the locks of tasks, which nest inside mmap_lock at most. The
 * folio lock is a page flag and has no class.
 */
const lock_tree_6_18: readonly lock_tree_node[] = [
  { depth: 0, cls: 'ksm_globals.ksm_thread_mutex' },
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 3, cls: 'vm_area_struct.vm_refcnt' },
  { depth: 4, cls: 'address_space.i_mmap_rwsem' },
  { depth: 5, cls: 'anon_vma.rwsem' },
  { depth: 6, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'ptdesc.ptl' },
  { depth: 7, cls: 'ksm_globals.ksm_mmlist_lock' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

/**
 * mm/rmap.c v2.6.34 and v2.6.36: the lock order at the head of the file; i_mmap_lock is i_mmap_rwsem here. As
 * above, the locks of tasks are not in Linux's list.
 */
const lock_tree_2_6_34: readonly lock_tree_node[] = [
  { depth: 1, cls: 'mm_struct.mmap_lock' },
  { depth: 2, cls: 'address_space.invalidate_lock' },
  { depth: 4, cls: 'address_space.i_mmap_rwsem' },
  { depth: 5, cls: 'anon_vma.lock' },
  { depth: 6, cls: 'mm_struct.page_table_lock' },
  { depth: 6, cls: 'ptdesc.ptl' },
  { depth: 7, cls: 'process_globals.tasklist_lock' },
  { depth: 8, cls: 'signal_struct.siglock' },
  { depth: 9, cls: 'task_struct.alloc_lock' },
];

interface Preset {
  readonly title: string;
  readonly features: readonly feature[];
  readonly anon_rmap: kernel['anon_rmap'];
  readonly mm: kernel['mm'];
  readonly words: kernel['words'];
  readonly object_bytes: kernel['object_bytes'];
  readonly lock_tree: readonly lock_tree_node[];
}

const presets: Readonly<Record<string, Preset>> = {
  'v6.18': {
    title: 'anon_vma_chain with folios and per-VMA locks (6.18.44)',
    features: ['maybe_guard', 'copied_from', 'per_vma_lock'],
    anon_rmap: anon_vma_chain_ops,
    mm: modern_mm,
    words: { mmap_lock: 'mmap_lock', folio: 'folio' },
    object_bytes: { anon_vma: 104, anon_vma_chain: 64, vm_area_struct: 192, page: 64 },
    lock_tree: lock_tree_6_18,
  },
  'v2.6.34': {
    title: 'anon_vma_chain, first release: a lock in each anon_vma',
    features: [],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { anon_vma: 24, anon_vma_chain: 48, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_34,
  },
  'v2.6.36': {
    title: 'anon_vma_chain with the lock in the root',
    features: [
      'root_lock',
      'adjust_locks_root',
      'prepare_at_tail',
      'keep_anchor',
      'lookup_recheck',
      'fork_sets_mm_first',
      'split_unlinks',
      'link_without_lock',
      'pin_anon_vma',
      'skip_temporary_stack',
    ],
    anon_rmap: anon_vma_list_ops,
    mm: classic_mm,
    words: { mmap_lock: 'mmap_sem', folio: 'page' },
    object_bytes: { anon_vma: 32, anon_vma_chain: 48, vm_area_struct: 176, page: 56 },
    lock_tree: lock_tree_2_6_34,
  },
};

/** What each feature is, in the order of `rmapdbg kernels`. */
export const featureDocs: Readonly<Record<feature, string>> = {
  maybe_guard: 'VM_MAYBE_GUARD and sticky VMA flags (6.18.44, 6.19)',
  copied_from:
    "mremap() of a faulted VMA clones its chain into an unfaulted neighbour, a fork child's is refused (6.18.y)",
  per_vma_lock: 'faults under the lock of one VMA, without mmap_lock (6.4)',
  root_lock: 'the lock of the oldest anon_vma stands for the whole family (2.6.36)',
  adjust_locks_root:
    "vma_adjust() takes the anon_vma root's lock for splits, imports and moved starts (2.6.36)",
  prepare_at_tail: 'anon_vma_prepare() links at the tail of the list (2.6.36)',
  keep_anchor: 'page_add_anon_rmap() leaves a page under the anon_vma it has (2.6.36)',
  lookup_recheck: 'page_lock_anon_vma() looks at the map count again under the lock (2.6.36)',
  fork_sets_mm_first: 'fork sets vm_mm before it links the VMA (2.6.36)',
  split_unlinks: 'a split that fails takes its anon_vma links back (2.6.36)',
  link_without_lock: 'vma_link() does not lock the anon_vma (2.6.36)',
  pin_anon_vma: "migration holds a count of the page's anon_vma (2.6.35)",
  skip_temporary_stack: 'migration leaves the stack of an unfinished execve() alone (2.6.35)',
};

/** A kernel or feature that does not exist: a mistake of the user's. `known` are the names there are. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly what: 'kernel' | 'feature';
  readonly wanted: string;
  readonly known: readonly string[];
  constructor(what: 'kernel' | 'feature', wanted: string, known: readonly string[]) {
    super(`no ${what} named ${wanted}; there is ${known.join(', ')}`);
    this.what = what;
    this.wanted = wanted;
    this.known = known;
  }
}

export function kernelNames(): readonly string[] {
  return Object.keys(presets);
}

export function featureNames(): readonly feature[] {
  return Object.keys(featureDocs) as feature[];
}

function featureNamed(name: string): feature {
  const found = featureNames().find((feature) => feature === name);
  if (found === undefined) {
    throw new KernelError('feature', name, featureNames());
  }
  return found;
}

/** The preset `name` with features added (`--patch`) and taken away (`--without`). Throws KernelError. */
export function selectKernel(
  name: string,
  patches: readonly string[] = [],
  withouts: readonly string[] = [],
): kernel {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined) {
    throw new KernelError('kernel', name, kernelNames());
  }
  const features = new Set<feature>(preset.features);
  for (const patch of patches) {
    features.add(featureNamed(patch));
  }
  for (const without of withouts) {
    features.delete(featureNamed(without));
  }
  return {
    name,
    title: preset.title,
    features,
    anon_rmap: preset.anon_rmap,
    mm: preset.mm,
    words: preset.words,
    object_bytes: preset.object_bytes,
    lock_tree: preset.lock_tree,
    alloc_pages_slowpath: preset.mm.alloc_pages_slowpath,
    startOperation,
  };
}
