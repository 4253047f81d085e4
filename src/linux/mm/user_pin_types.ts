/** A pin that a device holds: what a driver of Linux keeps in its own structures. Fidelity: custom. */
import { type Obj, type Ptr, struct } from '../../sim/struct.ts';

export interface user_pin extends Obj {
  /** The page, and FOLL_* flags of the request. */
  pfn: number;
  flags: number;
  /** Whose address it was: task number and address space, which may be gone by now. */
  task: number;
  mm_id: number;
  address: number;
  /** Older pins. */
  next: Ptr<user_pin>;
}

export const user_pin_cachep = struct<user_pin>('user_pin', {
  pfn: 'n',
  flags: 'n',
  task: 'n',
  mm_id: 'n',
  address: 'n',
  next: 'p',
});
