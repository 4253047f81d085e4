/** Address spaces and their VMAs. */
import { perms } from '../../linux/describe.ts';
import type { mm_struct } from '../../linux/mm_types.ts';
import type { Machine } from '../../sim/machine.ts';
import type { MmView, VmaView } from '../view.ts';
import type { Changes } from './changes.ts';
import { VMA_FACTS, type VmaRow, vmaRows } from './facts.ts';
import { vmFlagCodes } from './flags.ts';
import { alive, allMms, looking, processOf, vmasOf } from './objects.ts';
import { drawSpace, letterOf } from './picture.ts';
import { fileName, mmRef, objectRef, vmaRef } from './refs.ts';
import { lookedAtMm, type Selection } from './selection.ts';

/** Up to this many VMAs in total, every mm has its table; beyond, only the selected one. */
const MANY = 1000;

/**
 * Every address space, oldest first: a picture of at most `width` columns, and the table of its VMAs;
 * of the selected one only when there are many VMAs and `all` is not asked for.
 */
export function vmasView(
  machine: Machine,
  selection: Selection,
  changes: Changes,
  width: number,
  all = false,
): readonly MmView[] {
  return looking(machine, () => {
    const mms = allMms();
    const selected = lookedAtMm(machine, selection);
    const total = mms.reduce((sum, mm) => sum + mm.map_count, 0);
    return mms.map((mm) => {
      const withTable = all || mm === selected || total <= MANY;
      return {
        ref: mmRef(mm),
        process: processOf(mm),
        mapCount: mm.map_count,
        totalPages: mm.total_vm,
        picture: drawSpace(mm, vmasOf(mm), width, mm.map_count),
        vmas: withTable ? vmaViews(mm, mm === selected, changes) : [],
        selected: mm === selected,
      };
    });
  });
}

function vmaViews(mm: mm_struct, selected: boolean, changes: Changes): readonly VmaView[] {
  const rows = vmaRows(mm);
  const views = rows.map((row, i) => {
    const letter = letterOf(i);
    // Most of 10,000 VMAs are what they were at the last stop.
    const isSame = selected && !changes.differs(mm, row.serial, row.facts);
    return (isSame ? changes.madeBefore(row, letter) : null) ?? vmaView(mm, row, letter, changes);
  });
  if (selected) changes.keep(rows, views);
  return views;
}

const PRESENT = VMA_FACTS.indexOf('present');
const SWAPPED = VMA_FACTS.indexOf('swapped');
const AVCS = VMA_FACTS.indexOf('avcs');

function vmaView(mm: mm_struct, row: VmaRow, letter: string, changes: Changes): VmaView {
  const { vma, serial, facts } = row;
  const av = vma.anon_vma;
  return {
    ref: vmaRef(vma),
    letter,
    start: vma.vm_start,
    end: vma.vm_end,
    perms: perms(vma.vm_flags),
    vmFlags: vmFlagCodes(vma.vm_flags),
    pgoff: vma.vm_pgoff,
    file: fileName(vma.vm_file),
    anonVma: alive(av) ? objectRef(av) : null,
    avcs: facts[AVCS] ?? 0,
    present: facts[PRESENT] ?? 0,
    swapped: facts[SWAPPED] ?? 0,
    ...changes.vma(mm, serial, facts),
  };
}
