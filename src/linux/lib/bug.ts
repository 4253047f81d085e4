/**
 * lib/bug.c, include/asm-generic/bug.h, include/linux/mmdebug.h v6.18: the kernel's own assertions.
 *
 * A failed assertion is a finding (`bug` or `warn`) and the simulated kernel goes on, so that the state
 * it leads to can be looked at. Fidelity: custom. Linux kills the task after BUG(); a caller for whom
 * going on makes no sense returns after BUG_ON() said true. WARN_ON_ONCE() has no memory: the machine
 * drops a second report at the same step only.
 */
import { reportFinding } from '../../sim/finding.ts';
import { describeObject, type FrameObj, type Obj } from '../../sim/struct.ts';

/** BUG_ON(): `what` is the condition as the kernel writes it. Returns the condition. */
export function BUG_ON(condition: boolean, what: string): boolean {
  if (condition) {
    reportFinding('bug', `kernel BUG: ${what}`);
  }
  return condition;
}

/** BUG(). */
export function BUG(what: string): void {
  reportFinding('bug', `kernel BUG: ${what}`);
}

/** WARN_ON(). Returns the condition. */
export function WARN_ON(condition: boolean, what: string): boolean {
  if (condition) {
    reportFinding('warn', `WARNING: ${what}`);
  }
  return condition;
}

/** WARN_ON_ONCE(). Returns the condition. */
export function WARN_ON_ONCE(condition: boolean, what: string): boolean {
  return WARN_ON(condition, what);
}

/** VM_BUG_ON() with CONFIG_DEBUG_VM, which the simulated kernel has. Returns the condition. */
export function VM_BUG_ON(condition: boolean, what: string): boolean {
  return BUG_ON(condition, what);
}

/** VM_WARN_ON_ONCE(). Returns the condition. */
export function VM_WARN_ON_ONCE(condition: boolean, what: string): boolean {
  return WARN_ON(condition, what);
}

/** VM_WARN_ON(). Returns the condition. */
export function VM_WARN_ON(condition: boolean, what: string): boolean {
  return WARN_ON(condition, what);
}

/** VM_BUG_ON_VMA(), VM_BUG_ON_MM(): the object goes into the evidence. Returns the condition. */
export function VM_BUG_ON_VMA(condition: boolean, object: Obj, what: string): boolean {
  if (condition) {
    reportFinding('bug', `kernel BUG: ${what}`, [describeObject(object)]);
  }
  return condition;
}

/** VM_BUG_ON_FOLIO(), VM_BUG_ON_PAGE(): the page frame goes into the evidence. Returns the condition. */
export function VM_BUG_ON_FOLIO(condition: boolean, folio: FrameObj, what: string): boolean {
  if (condition) {
    reportFinding('bug', `kernel BUG: ${what}`, [`page pfn ${folio.pfn}`]);
  }
  return condition;
}

/** VM_WARN_ON_FOLIO(). Returns the condition. */
export function VM_WARN_ON_FOLIO(condition: boolean, folio: FrameObj, what: string): boolean {
  if (condition) {
    reportFinding('warn', `WARNING: ${what}`, [`page pfn ${folio.pfn}`]);
  }
  return condition;
}
