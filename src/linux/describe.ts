/**
 * What inspectors and judges may ask of the kernel's state without running it: plain functions that read
 * memory as it is, at any step, locks or no locks. Nothing here is Linux's except the texts that
 * /proc/PID/maps, smaps and the like would print.
 */
import type { Machine } from '../sim/machine.ts';
import { taskBlock } from '../sim/task.ts';
import { list_entries } from './lib/list.ts';
import {
  anon_vma_interval_tree_iter_first,
  anon_vma_interval_tree_iter_next,
} from './mm/interval_tree.ts';
import {
  PAGE_SIZE,
  ULONG_MAX,
  VM_ACCOUNT,
  VM_DONTCOPY,
  VM_DONTDUMP,
  VM_DONTEXPAND,
  VM_DROPPABLE,
  VM_EXEC,
  VM_GROWSDOWN,
  VM_HUGEPAGE,
  VM_HUGETLB,
  VM_IO,
  VM_LOCKED,
  VM_LOCKONFAULT,
  VM_MAYBE_GUARD,
  VM_MAYEXEC,
  VM_MAYREAD,
  VM_MAYSHARE,
  VM_MAYWRITE,
  VM_MERGEABLE,
  VM_MIXEDMAP,
  VM_NOHUGEPAGE,
  VM_NORESERVE,
  VM_PFNMAP,
  VM_RAND_READ,
  VM_READ,
  VM_SEALED,
  VM_SEQ_READ,
  VM_SHARED,
  VM_SYNC,
  VM_UFFD_WP,
  VM_WIPEONFORK,
  VM_WRITE,
} from './mm/mm.ts';
import {
  _PAGE_PSE,
  HPAGE_PMD_NR,
  is_swap_pmd,
  lookupHugePmd,
  lookupPte,
  mm_find_pmd,
  pmd_to_swp_entry,
  ptep_get,
} from './mm/pgtable.ts';
import { pte_advance_pfn } from './mm/pte_batch.ts';
import { vmaTreeRange, vmaTreeWalk } from './mm/vma_tree.ts';
import {
  type anon_vma,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  type mm_struct,
  type task_struct,
  type vm_area_struct,
} from './mm_types.ts';

// ---------------------------------------------------------------- tasks and address spaces

/** The task_struct of a task of the machine; null before it was started and after it was freed. */
export function taskOf(machine: Machine, id: number): task_struct | null {
  machine.activate();
  return taskBlock(id).context as task_struct | null;
}

/** Whether a task has been started and has not ended: operations may begin on it. */
export function taskIsAlive(machine: Machine, id: number): boolean {
  return taskOf(machine, id) !== null && taskBlock(id).dead === 0;
}

/** Address space of a task; null for kernel tasks and the dead. */
export function mmOfTask(machine: Machine, id: number): mm_struct | null {
  return taskOf(machine, id)?.mm ?? null;
}

/** Number of the task with that pid; of several (after pid reuse in a recording) the newest; 0 if none. */
export function taskByPid(machine: Machine, pid: number): number {
  for (let id = machine.taskCount(); id > 0; id--) {
    if (taskOf(machine, id)?.pid === pid) {
      return id;
    }
  }
  return 0;
}

/** Every address space that some task uses, in order of the tasks. */
export function liveMms(machine: Machine): mm_struct[] {
  const found: mm_struct[] = [];
  for (let id = 1; id <= machine.taskCount(); id++) {
    const mm = mmOfTask(machine, id);
    if (mm !== null && !found.includes(mm)) {
      found.push(mm);
    }
  }
  return found;
}

// ---------------------------------------------------------------- VMAs

/** `rw-p`, as in /proc/PID/maps. */
export function perms(vm_flags: number): string {
  const letter = (flag: number, text: string): string => ((vm_flags & flag) === 0 ? '-' : text);
  return (
    letter(VM_READ, 'r') +
    letter(VM_WRITE, 'w') +
    letter(VM_EXEC, 'x') +
    ((vm_flags & VM_MAYSHARE) === 0 ? 'p' : 's')
  );
}

/** fs/proc/task_mmu.c: show_smap_vma_flags() v6.18: codes by bit number (of Linux), lowest first. */
const flagCodes: readonly (readonly [flag: number, code: string])[] = [
  [VM_READ, 'rd'],
  [VM_WRITE, 'wr'],
  [VM_EXEC, 'ex'],
  [VM_SHARED, 'sh'],
  [VM_MAYREAD, 'mr'],
  [VM_MAYWRITE, 'mw'],
  [VM_MAYEXEC, 'me'],
  [VM_MAYSHARE, 'ms'],
  [VM_GROWSDOWN, 'gd'],
  [VM_PFNMAP, 'pf'],
  [VM_MAYBE_GUARD, 'gu'],
  [VM_UFFD_WP, 'uw'],
  [VM_LOCKED, 'lo'],
  [VM_IO, 'io'],
  [VM_SEQ_READ, 'sr'],
  [VM_RAND_READ, 'rr'],
  [VM_DONTCOPY, 'dc'],
  [VM_DONTEXPAND, 'de'],
  [VM_LOCKONFAULT, 'lf'],
  [VM_ACCOUNT, 'ac'],
  [VM_NORESERVE, 'nr'],
  [VM_HUGETLB, 'ht'],
  [VM_SYNC, 'sf'],
  [VM_WIPEONFORK, 'wf'],
  [VM_DONTDUMP, 'dd'],
  [VM_MIXEDMAP, 'mm'],
  [VM_HUGEPAGE, 'hg'],
  [VM_NOHUGEPAGE, 'nh'],
  [VM_MERGEABLE, 'mg'],
  [VM_DROPPABLE, 'dp'],
  [VM_SEALED, 'sl'],
];

/** `rd wr mr mw me ac`: the line VmFlags of smaps. */
export function vmFlagCodes(vm_flags: number): string {
  return flagCodes
    .filter(([flag]) => (vm_flags & flag) !== 0)
    .map(([, code]) => code)
    .join(' ');
}

/** VMAs of an address space in address order. */
export function vmasOf(mm: mm_struct): vm_area_struct[] {
  return vmaTreeRange(mm);
}

/** The VMA that contains an address, or null. */
export function vmaAt(mm: mm_struct, address: number): vm_area_struct | null {
  return vmaTreeWalk(mm, address);
}

/** The parts of [from, to) that no VMA covers, in order. */
export function missing_ranges(
  machine: Machine,
  task: number,
  from: number,
  to: number,
): [number, number][] {
  machine.activate();
  const mm = mmOfTask(machine, task);
  const missing: [number, number][] = [];
  let at = from;
  if (mm !== null) {
    for (const vma of vmaTreeRange(mm, from, to)) {
      if (vma.vm_start > at) {
        missing.push([at, vma.vm_start]);
      }
      at = Math.max(at, vma.vm_end);
    }
  }
  if (at < to) {
    missing.push([at, to]);
  }
  return missing;
}

// ---------------------------------------------------------------- anon_vma

const avc_of_same_vma = anon_vma_chain_cachep.container('same_vma');

/** The links of a VMA in list order: the newest first. */
export function avcsOfVma(vma: vm_area_struct): anon_vma_chain[] {
  return list_entries(vma.anon_vma_chain).map(avc_of_same_vma);
}

/** The links in the interval tree of an anon_vma, in the order a walk of the whole tree visits them. */
export function avcsOfAnonVma(anon_vma: anon_vma): anon_vma_chain[] {
  const found: anon_vma_chain[] = [];
  let avc = anon_vma_interval_tree_iter_first(anon_vma.rb_root, 0, ULONG_MAX);
  while (avc !== null) {
    found.push(avc);
    avc = anon_vma_interval_tree_iter_next(avc, 0, ULONG_MAX);
  }
  return found;
}

// ---------------------------------------------------------------- page tables and pages

/**
 * The entry that maps an address; 0 when there is none. Of a huge page what its PTE would be after a split of the huge
 * entry, or of its migration entry: the entry's bits and the frame of the one page.
 */
export function pteAt(mm: mm_struct, address: number): number {
  const huge = lookupHugePmd(mm, address);
  if (huge !== 0) {
    const first = (ptep_get(huge) & ~_PAGE_PSE) >>> 0;
    return pte_advance_pfn(first, Math.floor(address / PAGE_SIZE) % HPAGE_PMD_NR);
  }
  const pmd = mm_find_pmd(mm, address);
  if (pmd !== 0 && is_swap_pmd(ptep_get(pmd))) {
    const first = pmd_to_swp_entry(ptep_get(pmd));
    return pte_advance_pfn(first, Math.floor(address / PAGE_SIZE) % HPAGE_PMD_NR);
  }
  const at = lookupPte(mm, address);
  return at === 0 ? 0 : ptep_get(at);
}
