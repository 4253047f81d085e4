/**
 * What a lock word is called. The held stacks and the lock events carry the word address of a lock;
 * its lockdep class is the struct and field that contain it.
 */
import { vm_area_cachep } from '../../linux/mm_types.ts';
import { type Obj, ownerOf, structOf } from '../../sim/struct.ts';
import type { LockView } from '../view.ts';

/** The object that contains a lock, or null for locks outside of structs. */
export function lockOwner(lock: number): Obj | null {
  return lock > 0 ? (ownerOf(lock)?.object ?? null) : null;
}

/** lockdep-style class of a lock: `mm_struct.mmap_lock`. */
export function lockClass(lock: number): string {
  const owner = lock > 0 ? ownerOf(lock) : null;
  if (owner === null) return 'lock';
  return `${structOf(owner.object)?.name ?? '?'}.${owner.field.name}`;
}

/** What sort of lock a word is. */
export function lockKind(lock: number): LockView['kind'] {
  const owner = lock > 0 ? ownerOf(lock) : null;
  if (owner === null) return 'page';
  if (vm_area_cachep.isInstance(owner.object)) return 'vma';
  const kind = owner.field.kind;
  if (kind === 'rwsem' || kind === 'mutex') return kind;
  return 'spinlock';
}
