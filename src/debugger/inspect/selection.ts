/**
 * What the user looks at. One selection steers every view: selecting anything selects its mm, VMA,
 * address, page and anon_vma too, as they follow from it.
 */
import {
  anon_vma_chain_cachep,
  mm_cachep,
  type mm_struct,
  vm_area_cachep,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import type { Machine } from '../../sim/machine.ts';
import type { Obj } from '../../sim/struct.ts';
import type { Ref } from '../view.ts';
import { lockOwner } from './lock-names.ts';
import { mappingsOf } from './mappings.ts';
import { alive, allMms, isAnchor, looking, mmOfTask, vmaAt } from './objects.ts';
import { mappedPage } from './page-walk.ts';
import { anonVmaOfPage } from './pages.ts';
import {
  mmRef,
  objectRef,
  pageRef,
  pteRef,
  resolveAs,
  resolveRef,
  taskRef,
  vmaRef,
} from './refs.ts';

export interface Selection {
  /** Task that the debugger looks at, 0 for none. */
  readonly task: number;
  /** Frame looked at, counted from the innermost (0) outwards. */
  readonly frame: number;
  readonly mm: Ref | null;
  readonly vma: Ref | null;
  readonly anonVma: Ref | null;
  /** pfn, or -1. */
  readonly page: number;
  /** Virtual address in `mm`, or -1. */
  readonly address: number;
  readonly lock: Ref | null;
  /** What the user picked last: the others follow from it. */
  readonly picked: Ref | null;
}

export const NOTHING_SELECTED: Selection = {
  task: 0,
  frame: 0,
  mm: null,
  vma: null,
  anonVma: null,
  page: -1,
  address: -1,
  lock: null,
  picked: null,
};

/** The selection after the user picked `ref`. What is gone selects nothing but itself. */
export function pick(machine: Machine, before: Selection, ref: Ref): Selection {
  return looking(machine, () => ({ ...before, ...follow(machine, before, ref), picked: ref }));
}

function follow(machine: Machine, before: Selection, ref: Ref): Partial<Selection> {
  const to = resolveRef(machine, ref);
  switch (to.state) {
    case 'task': {
      const mm = mmOfTask(machine, to.task);
      const same = before.mm !== null && mm !== null && before.mm.id === mm.addr;
      if (mm === null || same) return { task: to.task, frame: 0 };
      return { task: to.task, frame: 0, mm: mmRef(mm), vma: null, address: -1 };
    }
    case 'page': {
      const mapping = mappingsOf(to.page)[0];
      const av = anonVmaOfPage(to.page);
      return {
        page: to.page,
        ...(mapping === undefined ? {} : atAddress(mapping.mm, mapping.address)),
        ...(av === null ? {} : { anonVma: objectRef(av) }),
      };
    }
    case 'pte':
      return atAddress(to.mm, to.address);
    case 'lock': {
      const owner = lockOwner(to.lock);
      return { lock: ref, ...(owner === null ? {} : fromObject(before, owner)) };
    }
    case 'object':
      return fromObject(before, to.object);
    default:
      return {};
  }
}

function fromObject(before: Selection, object: Obj): Partial<Selection> {
  if (mm_cachep.isInstance(object)) {
    const same = before.mm?.id === object.addr;
    return same ? {} : { mm: mmRef(object), vma: null, address: -1 };
  }
  if (vm_area_cachep.isInstance(object)) return fromVma(before, object);
  if (isAnchor(object)) return { anonVma: objectRef(object) };
  if (anon_vma_chain_cachep.isInstance(object)) {
    const vma = alive(object.vma) ? fromVma(before, object.vma) : {};
    return alive(object.anon_vma) ? { ...vma, anonVma: objectRef(object.anon_vma) } : vma;
  }
  return {};
}

function fromVma(before: Selection, vma: vm_area_struct): Partial<Selection> {
  const inside =
    before.mm?.id === vma.vm_mm?.addr &&
    before.address >= vma.vm_start &&
    before.address < vma.vm_end;
  const mm = vma.vm_mm;
  if (!alive(mm)) return { vma: vmaRef(vma) };
  return { ...atAddress(mm, inside ? before.address : vma.vm_start), vma: vmaRef(vma) };
}

/** An address selects its VMA, that VMA's anon_vma and the page mapped there. */
function atAddress(mm: mm_struct, address: number): Partial<Selection> {
  const vma = vmaAt(mm, address);
  const pfn = mappedPage(mm, address);
  const av = vma?.anon_vma;
  return {
    mm: mmRef(mm),
    vma: vma === null ? null : vmaRef(vma),
    address,
    ...(pfn < 0 ? {} : { page: pfn }),
    ...(alive(av) ? { anonVma: objectRef(av) } : {}),
  };
}

/** Every object that the selection names, for marking it in all panes. */
export function selectedRefs(machine: Machine, selection: Selection): readonly Ref[] {
  return looking(machine, () => {
    const refs: Ref[] = [];
    const { picked, vma, mm, anonVma, lock } = selection;
    for (const ref of [picked, vma, mm, anonVma, lock]) if (ref !== null) refs.push(ref);
    if (selection.page >= 0) refs.push(pageRef(selection.page));
    const owner = resolveAs(machine, mm, mm_cachep);
    if (selection.address >= 0 && owner !== null) refs.push(pteRef(owner, selection.address));
    if (selection.task > 0) refs.push(taskRef(machine, selection.task));
    return refs.filter(
      (ref, at) => refs.findIndex((r) => r.kind === ref.kind && r.id === ref.id) === at,
    );
  });
}

/** The mm that the views of one address space show: the selected one, else the task's, else the first. */
export function lookedAtMm(machine: Machine, selection: Selection): mm_struct | null {
  return (
    resolveAs(machine, selection.mm, mm_cachep) ??
    mmOfTask(machine, selection.task) ??
    allMms()[0] ??
    null
  );
}
