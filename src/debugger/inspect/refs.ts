/**
 * Refs: names of simulated objects that survive a jump in time. An address is reused, a serial never
 * is; so a Ref leads back to its object only while the slot still holds that very allocation.
 *
 * What `id` and `serial` hold: object = word address and allocation serial; page = pfn, 0; task = task
 * id, 0; pte = virtual address, serial of its mm; lock = word address and the owner's serial; source =
 * step site, 0.
 */
import {
  type address_space,
  address_space_cachep,
  anon_vma_chain_cachep,
  type file,
  filp_cachep,
  type inode,
  inode_cachep,
  mm_cachep,
  type mm_struct,
  type page,
  task_struct_cachep,
  vm_area_cachep,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import type { Machine } from '../../sim/machine.ts';
import { isLive, type Obj, serialOf, structOf } from '../../sim/struct.ts';
import { textOf } from '../../sim/text.ts';
import type { Ref } from '../view.ts';
import { lockClass, lockOwner } from './lock-names.ts';
import { alive, allMms, isAnchor, isSame, processOf } from './objects.ts';

/** Address as the screen shows it: hexadecimal without 0x, as /proc/PID/maps does. */
export function hex(value: number): string {
  return value < 0 ? `-${(-value).toString(16)}` : value.toString(16);
}

export function mmRef(mm: mm_struct): Ref {
  return { kind: 'mm', id: mm.addr, serial: serialOf(mm), label: `mm ${processOf(mm)}` };
}

/** Process of a VMA's mm, as far as its memory still tells. */
export function processOfVma(vma: vm_area_struct): string {
  const mm = vma.vm_mm;
  return alive(mm) && mm_cachep.isInstance(mm) ? processOf(mm) : '';
}

export function vmaRef(vma: vm_area_struct): Ref {
  const label = `vma ${processOfVma(vma) || '?'}:${hex(vma.vm_start)}`;
  return { kind: 'vma', id: vma.addr, serial: serialOf(vma), label };
}

export function pageRef(pfn: number): Ref {
  return { kind: 'page', id: pfn, serial: 0, label: `page ${hex(pfn)}` };
}

export function taskRef(machine: Machine, id: number): Ref {
  return { kind: 'task', id, serial: 0, label: machine.names[id] ?? `task ${id}` };
}

export function pteRef(mm: mm_struct, address: number): Ref {
  const label = `pte ${processOf(mm)}:${hex(address)}`;
  return { kind: 'pte', id: address, serial: serialOf(mm), label };
}

export function lockRef(lock: number): Ref {
  const owner = lockOwner(lock);
  const serial = owner === null ? 0 : serialOf(owner);
  const of = owner === null ? '' : ownerName(owner);
  return { kind: 'lock', id: lock, serial, label: `${lockClass(lock)}${of}` };
}

function ownerName(owner: Obj): string {
  if (mm_cachep.isInstance(owner)) return ` ${processOf(owner)}`;
  if (vm_area_cachep.isInstance(owner)) return ` ${processOfVma(owner)}:${hex(owner.vm_start)}`;
  return `#${serialOf(owner)}`;
}

/** Path of a file, inode or address_space, as far as it is linked up. */
export function fileName(object: file | inode | address_space | null | undefined): string {
  if (!alive(object)) return '';
  if (filp_cachep.isInstance(object)) return fileName(object.f_inode);
  if (address_space_cachep.isInstance(object)) return fileName(object.host);
  return textOf((object as inode).i_name);
}

/** `anon_vma@1a00#20`: the address without the bits that all kernel addresses share. */
function shortName(kind: string, addr: number, serial: number): string {
  return `${kind}@${(addr * 8).toString(16)}#${serial}`;
}

/** The Ref of any object, live or freed; null for kinds the screen has no name for. */
export function objectRef(object: Obj): Ref | null {
  if (mm_cachep.isInstance(object)) return mmRef(object);
  if (vm_area_cachep.isInstance(object)) return vmaRef(object);
  const named = (kind: Ref['kind'], label: string): Ref => ({
    kind,
    id: object.addr,
    serial: serialOf(object),
    label,
  });
  if (isAnchor(object)) {
    const name = structOf(object)?.name ?? 'anon_vma';
    return named('anon_vma', shortName(name, object.addr, serialOf(object)));
  }
  if (anon_vma_chain_cachep.isInstance(object)) {
    return named('avc', shortName('avc', object.addr, serialOf(object)));
  }
  if (task_struct_cachep.isInstance(object)) {
    return { kind: 'task', id: object.sim_id, serial: 0, label: textOf(object.comm) };
  }
  if (
    filp_cachep.isInstance(object) ||
    inode_cachep.isInstance(object) ||
    address_space_cachep.isInstance(object)
  ) {
    return named('file', `file ${fileName(object)}`);
  }
  return null;
}

/** `anonmm@1c00#19`: the label of an object, also of kinds that nothing leads to. */
export function objectName(object: Obj): string {
  const name = structOf(object)?.name ?? '?';
  return objectRef(object)?.label ?? shortName(name, object.addr, serialOf(object));
}

/** Ref of an object that an event or a finding named by address and serial. It may be gone. */
export function pastRef(kind: Ref['kind'], addr: number, serial: number): Ref {
  const object = (cpu.handles[addr / 16] ?? null) as Obj | null;
  if (isSame(object, serial) && object !== null) {
    const ref = objectRef(object);
    if (ref !== null) return ref;
  }
  return { kind, id: addr, serial, label: shortName(kind, addr, serial) };
}

/** Where a Ref leads now. `gone`: freed, reused, or not made yet at this step. */
export type Resolved =
  | { readonly state: 'object'; readonly object: Obj }
  | { readonly state: 'page'; readonly page: number }
  | { readonly state: 'task'; readonly task: number }
  | { readonly state: 'pte'; readonly mm: mm_struct; readonly address: number }
  | { readonly state: 'lock'; readonly lock: number }
  | { readonly state: 'source'; readonly site: number }
  | { readonly state: 'gone' };

const GONE: Resolved = { state: 'gone' };

export function resolveRef(machine: Machine, ref: Ref): Resolved {
  machine.activate();
  switch (ref.kind) {
    case 'page':
      return ref.id < machine.config.frames ? { state: 'page', page: ref.id } : GONE;
    case 'task':
      return ref.id >= 1 && ref.id <= machine.taskCount() ? { state: 'task', task: ref.id } : GONE;
    case 'pte': {
      const mm = allMms().find((each) => serialOf(each) === ref.serial);
      return mm === undefined ? GONE : { state: 'pte', mm, address: ref.id };
    }
    case 'lock': {
      const owner = lockOwner(ref.id);
      const same = owner === null ? ref.serial === 0 : serialOf(owner) === ref.serial;
      return same ? { state: 'lock', lock: ref.id } : GONE;
    }
    case 'source':
      return { state: 'source', site: ref.id };
    default: {
      const object = liveAt(ref.id);
      return object !== null && isSame(object, ref.serial) ? { state: 'object', object } : GONE;
    }
  }
}

function liveAt(addr: number): Obj | null {
  const object = (cpu.handles[addr / 16] ?? null) as Obj | null;
  return object !== null && structOf(object) !== null && isLive(object) ? object : null;
}

/** The live object of a Ref of this type, or null when it is gone. */
export function resolveAs<T extends Obj>(
  machine: Machine,
  ref: Ref | null,
  cache: { isInstance(object: Obj): object is T },
): T | null {
  if (ref === null) return null;
  const resolved = resolveRef(machine, ref);
  return resolved.state === 'object' && cache.isInstance(resolved.object) ? resolved.object : null;
}

/** Ref of any value a kernel local may hold: a struct handle or a page frame. */
export function valueRef(value: object): Ref | null {
  if ('pfn' in value) return pageRef((value as page).pfn);
  return 'addr' in value ? objectRef(value as Obj) : null;
}
