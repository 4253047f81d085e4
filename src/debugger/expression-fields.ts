/** Fields of values by kernel names, the few short names of our own, and where in memory a field is. */

import { perms } from '../linux/describe.ts';
import { PAGE_FLAG_NAMES } from '../linux/mm/page-flags.ts';
import {
  anon_vma_cachep,
  mem_map,
  mm_cachep,
  type page,
  task_struct_cachep,
  type vm_area_struct,
} from '../linux/mm_types.ts';
import { cpu, FRAME_WORDS, SPACE_FRAME, SPACE_FRAME_INDEX, SPACE_HEAP } from '../sim/cpu.ts';
import type { Machine } from '../sim/machine.ts';
import { type FieldInfo, type FrameObj, type Obj, structOf } from '../sim/struct.ts';
import { textOf } from '../sim/text.ts';
import {
  booleanValue,
  listValue,
  NULL_VALUE,
  numberValue,
  objectValue,
  type PteValue,
  pageValue,
  textValue,
  type Value,
} from './expression-value.ts';
import { parentOf } from './inspect/families.ts';
import { vmFlagCodes } from './inspect/flags.ts';
import { largeCounts, pageMapcount } from './inspect/large-folios.ts';
import { mappingsOf } from './inspect/mappings.ts';
import {
  allAnonVmas,
  avcsIn,
  avcsOf,
  contextOf,
  mmOfTask,
  processOf,
  vmasIn,
  vmasOf,
} from './inspect/objects.ts';
import { folioOrder } from './inspect/page-index.ts';
import { isPresent, nonPresentKind } from './inspect/page-walk.ts';
import { anonVmaOfPage, headOf, indexOf, kindOfPage, mappingObject } from './inspect/pages.ts';
import { fileName, processOfVma } from './inspect/refs.ts';
import { holdersOf, processOfTask } from './inspect/tasks.ts';

/** Kernel fields under a shorter name: `vma.start` is vm_start. */
const SHORT: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  vm_area_struct: {
    mm: 'vm_mm',
    start: 'vm_start',
    end: 'vm_end',
    flags: 'vm_flags',
    pgoff: 'vm_pgoff',
    file: 'vm_file',
    refcnt: 'vm_refcnt',
  },
  mm_struct: {
    users: 'mm_users',
    count: 'mm_count',
    lock: 'mmap_lock',
    mmap_sem: 'mmap_lock',
    id: 'mm_id',
  },
  anon_vma: { lock: 'rwsem' },
};

/** Number fields that hold an interned text. */
const TEXT_FIELDS = new Set(['mm_struct.owner', 'task_struct.comm', 'inode.i_name']);

const LOCK_KINDS = new Set<unknown>(['spinlock', 'rwsem', 'mutex']);

type Computed = Readonly<Record<string, (machine: Machine, object: Obj) => Value>>;

const list = (objects: Iterable<Obj>): Value => listValue([...objects].map(objectValue));

/** What we compute besides the fields that Linux has. */
const COMPUTED: Readonly<Record<string, Computed>> = {
  vm_area_struct: {
    avcs: (_machine, object) => list(avcsOf(object as vm_area_struct)),
    perms: (_machine, object) => textValue(perms((object as vm_area_struct).vm_flags)),
    codes: (_machine, object) => textValue(vmFlagCodes((object as vm_area_struct).vm_flags)),
    process: (_machine, object) => textValue(processOfVma(object as vm_area_struct)),
    path: (_machine, object) => textValue(fileName((object as vm_area_struct).vm_file)),
    size: (_machine, object) => {
      const vma = object as vm_area_struct;
      return numberValue(vma.vm_end - vma.vm_start);
    },
  },
  mm_struct: {
    vmas: (_machine, object) => (mm_cachep.isInstance(object) ? list(vmasOf(object)) : NULL_VALUE),
    process: (_machine, object) => textValue(mm_cachep.isInstance(object) ? processOf(object) : ''),
  },
  anon_vma: {
    vmas: (_machine, object) => {
      if (!anon_vma_cachep.isInstance(object)) return NULL_VALUE;
      return list(vmasIn(object));
    },
    avcs: (_machine, object) =>
      anon_vma_cachep.isInstance(object) ? list(avcsIn(object)) : NULL_VALUE,
    children: (_machine, object) => list(allAnonVmas().filter((av) => parentOf(av) === object)),
  },
};

/** Names that `object.` may be followed by. */
export function objectFields(object: Obj): readonly string[] {
  const info = structOf(object);
  if (info === null) return [];
  return [
    ...info.fields.map((field) => field.name),
    ...Object.keys(SHORT[info.name] ?? {}),
    ...Object.keys(COMPUTED[info.name] ?? {}),
  ];
}

function fieldInfo(object: Obj, name: string): FieldInfo | null {
  const info = structOf(object);
  if (info === null) return null;
  const short = SHORT[info.name] ?? {};
  const long = Object.hasOwn(short, name) ? short[name] : name;
  return info.fields.find((field) => field.name === long) ?? null;
}

/** The value of a field, or null when there is none of that name. */
export function objectField(machine: Machine, object: Obj, name: string): Value | null {
  const type = structOf(object)?.name ?? '';
  const info = fieldInfo(object, name);
  if (info === null) {
    const computed = COMPUTED[type] ?? {};
    return Object.hasOwn(computed, name) ? (computed[name]?.(machine, object) ?? null) : null;
  }
  const at = object.addr + info.offset;
  const word = cpu.heap[at] ?? 0;
  switch (info.kind) {
    case 'n':
      return TEXT_FIELDS.has(`${type}.${info.name}`)
        ? textValue(textOf(word))
        : numberValue(word, info.name);
    case 'p':
      return word === 0 ? NULL_VALUE : objectValue(cpu.handles[word] as Obj | undefined);
    case 'page':
      return pageValue(word - 1);
    default:
      return LOCK_KINDS.has(info.kind) ? { kind: 'lock', lock: at } : numberValue(at, info.name);
  }
}

/** Where a field is stored: for watching it and for finding its last writer. */
export interface Place {
  readonly space: number;
  readonly location: number;
}

export function placeOfField(object: Obj, name: string): Place | null {
  const info = fieldInfo(object, name);
  return info === null ? null : { space: SPACE_HEAP, location: object.addr + info.offset };
}

export function placeOfPageField(pfn: number, name: string): Place | null {
  const short = PAGE_SHORT[name] ?? name;
  let word = 0;
  for (const field of mem_map.fields) {
    if (field.name === short) {
      return field.kind === 'f'
        ? { space: SPACE_FRAME_INDEX, location: pfn }
        : { space: SPACE_FRAME, location: pfn * FRAME_WORDS + word };
    }
    if (field.kind !== 'f') word++;
  }
  return null;
}

// ---------------------------------------------------------------- pages

const PAGE_SHORT: Readonly<Record<string, string>> = { refcount: '_refcount' };

/** A count of the large folio of a page; 0 of a small one. */
function folioCount(page: page, which: 'large' | 'entire' | 'pins'): number {
  const head = headOf(page);
  return folioOrder(head.pfn) > 0 ? largeCounts(head.pfn)[which] : 0;
}

const PAGE_COMPUTED: Readonly<Record<string, (page: page) => Value>> = {
  pfn: (page) => numberValue(page.pfn),
  refcount: (page) => numberValue(headOf(page)._refcount),
  /** How many entries map it: the kernel's count, from 0. */
  mapcount: (page) => numberValue(pageMapcount(page)),
  /** Of a huge page: all entries of all its pages, the huge ones among them, its pins, log2 of its pages. */
  large_mapcount: (page) => numberValue(folioCount(page, 'large')),
  entire_mapcount: (page) => numberValue(folioCount(page, 'entire')),
  pincount: (page) => numberValue(folioCount(page, 'pins')),
  order: (page) => numberValue(folioOrder(headOf(page).pfn)),
  folio: (page) => pageValue(headOf(page).pfn),
  mapping: (page) => objectValue(mappingObject(page)),
  anon_vma: (page) => objectValue(anonVmaOfPage(page.pfn)),
  anon: (page) => booleanValue(kindOfPage(page) === 'anon' || kindOfPage(page) === 'ksm'),
  ksm: (page) => booleanValue(kindOfPage(page) === 'ksm'),
  file: (page) => booleanValue(kindOfPage(page) === 'file'),
  exclusive: (page) => booleanValue(hasFlag(page, 'anon_exclusive')),
  head: (page) => pageValue(headOf(page).pfn),
  pgoff: (page) => numberValue(indexOf(page), 'index'),
  /** Entries that map it, by brute force: as many as mapcount unless something is wrong. */
  mappings: (page) =>
    listValue(
      mappingsOf(page.pfn)
        .filter((mapping) => mapping.present)
        .map(({ mm, address }) => textValue(`${processOf(mm)}:${address.toString(16)}`)),
    ),
};

function hasFlag(page: page, name: string): boolean {
  const bit = PAGE_FLAG_NAMES.indexOf(name);
  // All flags but one are those of the folio.
  const { flags } = name === 'anon_exclusive' ? page : headOf(page);
  return bit >= 0 && ((flags >>> bit) & 1) === 1;
}

export const PAGE_FIELDS: readonly string[] = [
  ...mem_map.fields.map((field) => field.name),
  ...Object.keys(PAGE_COMPUTED),
  ...PAGE_FLAG_NAMES,
];

export function pageField(pfn: number, name: string): Value | null {
  const page = mem_map.at(pfn);
  if (Object.hasOwn(PAGE_COMPUTED, name)) return PAGE_COMPUTED[name]?.(page) ?? null;
  if (PAGE_FLAG_NAMES.includes(name)) return booleanValue(hasFlag(page, name));
  const field = mem_map.fields.find((each) => each.name === name);
  if (field === undefined) return null;
  const value: number | FrameObj | null = page[field.name as Exclude<keyof page, 'pfn'>];
  return typeof value === 'number' ? numberValue(value, name) : pageValue(value?.pfn ?? -1);
}

// ---------------------------------------------------------------- page-table entries and tasks

const bit = (mask: number) => (pte: PteValue) =>
  booleanValue(isPresent(pte.value) && (pte.value & mask) !== 0);

const PTE_COMPUTED: Readonly<Record<string, (pte: PteValue) => Value>> = {
  value: (pte) => numberValue(pte.value),
  address: (pte) => numberValue(pte.address),
  none: (pte) => booleanValue(pte.value === 0),
  present: (pte) => booleanValue(isPresent(pte.value)),
  write: bit(1 << 1),
  young: bit(1 << 2),
  dirty: bit(1 << 3),
  special: bit(1 << 5),
  protnone: (pte) => booleanValue((pte.value & 0x11) === 0x10),
  swap: (pte) => booleanValue(isKind(pte, 'swap')),
  migration: (pte) => booleanValue(isKind(pte, 'migration')),
  marker: (pte) => booleanValue(isKind(pte, 'marker')),
  pfn: (pte) => numberValue(pte.value >>> 8),
  page: (pte) =>
    isPresent(pte.value) || isKind(pte, 'migration') ? pageValue(pte.value >>> 8) : NULL_VALUE,
  mm: (pte) => objectValue(pte.mm),
};

function isKind({ value }: PteValue, kind: 'swap' | 'migration' | 'marker'): boolean {
  return value !== 0 && !isPresent(value) && nonPresentKind(value) === kind;
}

export const PTE_FIELDS: readonly string[] = Object.keys(PTE_COMPUTED);

export function pteField(pte: PteValue, name: string): Value | null {
  return Object.hasOwn(PTE_COMPUTED, name) ? (PTE_COMPUTED[name]?.(pte) ?? null) : null;
}

const TASK_COMPUTED: Readonly<Record<string, (machine: Machine, task: number) => Value>> = {
  task: (_machine, task) => numberValue(task),
  mm: (machine, task) => objectValue(mmOfTask(machine, task)),
  name: (machine, task) => textValue(machine.names[task] ?? ''),
  process: (machine, task) => textValue(processOfTask(machine, task)),
  result: (machine, task) => numberValue(machine.block(task).result),
  dead: (machine, task) => booleanValue(machine.block(task).dead === 1),
  blocked: (machine, task) => booleanValue(machine.block(task).op !== 0 && !machine.enabled(task)),
  operation: (machine, task) => textValue(machine.operationOf(task)?.text ?? ''),
  task_struct: (machine, task) => objectValue(contextOf(machine, task)),
};

export const TASK_FIELDS: readonly string[] = [
  ...Object.keys(TASK_COMPUTED),
  ...task_struct_cachep.info.fields.map((field) => field.name),
];

/** Fields of an actor: those of its task_struct, and what the machine knows of the task. */
export function taskField(machine: Machine, task: number, name: string): Value | null {
  if (Object.hasOwn(TASK_COMPUTED, name)) return TASK_COMPUTED[name]?.(machine, task) ?? null;
  const context = contextOf(machine, task);
  return context === null ? null : objectField(machine, context, name);
}

export const LOCK_FIELDS: readonly string[] = ['held', 'holders'];

export function lockField(machine: Machine, lock: number, name: string): Value | null {
  const holders = holdersOf(machine, lock);
  if (name === 'held') return booleanValue(holders.length > 0);
  if (name !== 'holders') return null;
  return listValue(holders.map(({ task, mode }) => textValue(`${task} (${mode})`)));
}
