/** One brute-force look at everything: address spaces, their VMAs, every page-table entry. */
import type { mm_struct, task_struct, vm_area_struct } from '../linux/mm_types.ts';
import { vm_area_cachep } from '../linux/mm_types.ts';
import { cpu } from '../sim/cpu.ts';
import type { Machine } from '../sim/machine.ts';
import { describeObject } from '../sim/struct.ts';
import {
  Broken,
  entryFrame,
  entryKind,
  framesInUse,
  isPmdMigration,
  pmdMigrationEntry,
  SPECIAL,
  scanTables,
  type TreeNode,
  treeNodes,
} from './raw.ts';

const vmaOfNode = vm_area_cachep.container('vm_rb');

/** One page-table entry that maps a page, or stands for one. */
export interface Entry {
  readonly mm: mm_struct;
  readonly address: number;
  readonly value: number;
  /** Number of the table it is in. */
  readonly table: number;
  /** 512 for a huge entry. */
  readonly pages: number;
  /** The VMA around it, or null. */
  readonly vma: vm_area_struct | null;
}

export interface Space {
  readonly mm: mm_struct;
  readonly vmas: readonly vm_area_struct[];
  readonly nodes: readonly TreeNode[];
  /** What is wrong with the tree so that it could not be read, or empty. */
  readonly broken: string;
  /** Page tables below the top one. */
  readonly tables: number;
}

export interface Picture {
  readonly spaces: readonly Space[];
  /** Present entries by frame; the zero page and other special entries are left out. */
  readonly present: ReadonlyMap<number, readonly Entry[]>;
  /** Huge entries by head frame; the huge zero page is left out. */
  readonly huge: ReadonlyMap<number, readonly Entry[]>;
  /** As PTEs, those of huge pages too. */
  readonly migration: readonly Entry[];
  readonly swap: readonly Entry[];
  /** Frames that somebody refers to, maps or has flagged; ascending. */
  readonly used: readonly number[];
}

/** Every address space that a task uses, or still keeps as its last one. */
function addressSpaces(machine: Machine): mm_struct[] {
  const found = new Set<mm_struct>();
  for (let id = 1; id <= machine.taskCount(); id++) {
    const task = machine.block(id).context as task_struct | null;
    if (task === null) continue;
    if (task.mm !== null) found.add(task.mm);
    if (task.active_mm !== null) found.add(task.active_mm);
  }
  return [...found];
}

function readSpace(mm: mm_struct, entry: (entry: Entry) => void): Space {
  let nodes: TreeNode[] = [];
  let broken = '';
  // Kept only as some task's last address space: its contents are gone.
  if (mm.mm_users === 0) return { mm, vmas: [], nodes, broken, tables: 0 };
  try {
    nodes = treeNodes(mm.mm_rb);
  } catch (error) {
    if (!(error instanceof Broken)) throw error;
    broken = error.message;
  }
  const vmas = nodes.map((node) => vmaOfNode(node.at));
  let next = 0;
  const tables = scanTables(mm.pgd, (address, value, table, pages) => {
    while (next < vmas.length && (vmas[next] as vm_area_struct).vm_end <= address) next++;
    const vma = vmas[next];
    const inside = vma !== undefined && vma.vm_start <= address ? vma : null;
    entry({ mm, address, value, table, pages, vma: inside });
  });
  return { mm, vmas, nodes, broken, tables };
}

export function takePicture(machine: Machine): Picture {
  const present = new Map<number, Entry[]>();
  const huge = new Map<number, Entry[]>();
  const migration: Entry[] = [];
  const swap: Entry[] = [];
  const spaces = addressSpaces(machine).map((mm) =>
    readSpace(mm, (entry) => {
      if (entry.pages > 1) {
        if (isPmdMigration(entry.value)) {
          migration.push({ ...entry, value: pmdMigrationEntry(entry.value) });
          return;
        }
        if ((entry.value & SPECIAL) !== 0) return;
        const head = entryFrame(entry.value);
        huge.set(head, [...(huge.get(head) ?? []), entry]);
        return;
      }
      switch (entryKind(entry.value)) {
        case 'present': {
          if ((entry.value & SPECIAL) !== 0) return;
          const frame = entryFrame(entry.value);
          const known = present.get(frame);
          if (known === undefined) present.set(frame, [entry]);
          else known.push(entry);
          return;
        }
        case 'migration':
          migration.push(entry);
          return;
        case 'swap':
          swap.push(entry);
          return;
        default:
      }
    }),
  );
  return { spaces, present, huge, migration, swap, used: framesInUse() };
}

/** `mm 3 at 7ffff7fc1000`. */
export function place(entry: { readonly mm: mm_struct; readonly address: number }): string {
  return `mm ${entry.mm.mm_id} at ${entry.address.toString(16)}`;
}

export function vmaText(vma: vm_area_struct): string {
  const range = `${vma.vm_start.toString(16)}-${vma.vm_end.toString(16)}`;
  return `${describeObject(vma)} ${range} pgoff ${vma.vm_pgoff.toString(16)}`;
}

export function frameText(pfn: number): string {
  return `pfn ${pfn.toString(16)}`;
}

/** Frames of the machine. */
export function frameCount(): number {
  return cpu.frame_index.length;
}
