/** The kernel source around the statement that the selected task is about to execute, and its locals. */

import type { Locals } from '../../sim/cpu.ts';
import { eventLog } from '../../sim/event.ts';
import type { Frame, Machine } from '../../sim/machine.ts';
import { type SiteInfo, siteInfo, sourceLines } from '../../sim/site.ts';
import type { FieldView, SourceView } from '../view.ts';
import type { Changes } from './changes.ts';
import { looking } from './objects.ts';
import type { Selection } from './selection.ts';
import { type ShownValue, showValue } from './values.ts';

/** What of a breakpoint the source shows. */
export interface SourceBreakpoint {
  readonly id: number;
  readonly enabled: boolean;
  readonly sites: readonly number[];
}

const NOWHERE: SourceView = {
  file: '',
  fn: '',
  line: 0,
  isScenario: false,
  lines: [],
  breakpoints: [],
  locals: [],
};

/** The frame that the selection looks at, or null when its task is not in the kernel. */
function selectedFrame(machine: Machine, selection: Selection): Frame | null {
  if (selection.task < 1 || selection.task > machine.taskCount()) return null;
  const frames = machine.frames(selection.task);
  return frames.at(-1 - selection.frame) ?? frames[0] ?? null;
}

export function sourceView(
  machine: Machine,
  selection: Selection,
  breakpoints: Iterable<SourceBreakpoint>,
  changes: Changes | null = null,
): SourceView {
  return looking(machine, () => {
    const frame = selectedFrame(machine, selection);
    if (frame === null) return NOWHERE;
    const site = siteInfo(frame.site);
    return {
      file: site.file,
      fn: site.fn,
      line: site.line,
      isScenario: false,
      lines: sourceLines(site.file) ?? [],
      breakpoints: breakpointsIn(site.file, breakpoints),
      locals: localsView(selection.task, frame, site, changes),
    };
  });
}

function breakpointsIn(
  file: string,
  breakpoints: Iterable<SourceBreakpoint>,
): SourceView['breakpoints'] {
  const found: { line: number; id: number; enabled: boolean }[] = [];
  for (const { id, enabled, sites } of breakpoints) {
    for (const site of sites) {
      const at = siteInfo(site);
      if (at.file === file) found.push({ line: at.line, id, enabled });
    }
  }
  return found;
}

/** Names of a frame's locals; some may not have a value yet. */
function localNames(locals: Locals): readonly string[] {
  // `()=>({vma,addr})`: the step transform writes it, so its text is the list of names.
  const list = /\(\{([^}]*)\}\)\s*$/.exec(String(locals))?.[1] ?? '';
  return list
    .split(',')
    .map((name) => name.split(':')[0]?.trim() ?? '')
    .filter((name) => name !== '');
}

/** Values in scope. A `let` that is not reached yet makes the closure throw: then all are unavailable. */
export function readLocals(locals: Locals | null): ReadonlyMap<string, ShownValue> {
  const shown = new Map<string, ShownValue>();
  if (locals === null) return shown;
  const log = eventLog.on;
  try {
    eventLog.on = false;
    for (const [name, value] of Object.entries(locals())) shown.set(name, readOne(name, value));
  } catch {
    for (const name of localNames(locals)) shown.set(name, UNAVAILABLE);
  } finally {
    eventLog.on = log;
  }
  return shown;
}

const UNAVAILABLE: ShownValue = { text: '<unavailable>', ref: null };

function readOne(name: string, value: unknown): ShownValue {
  try {
    return showValue(name, value);
  } catch {
    return UNAVAILABLE;
  }
}

function localKey(task: number, depth: number, fn: string, name: string): string {
  return `${task}/${depth}/${fn}/${name}`;
}

function localsView(
  task: number,
  frame: Frame,
  site: SiteInfo,
  changes: Changes | null,
): readonly FieldView[] {
  const views: FieldView[] = [];
  for (const [name, { text, ref }] of readLocals(frame.locals)) {
    const changed = changes?.local(localKey(task, frame.depth, site.fn, name), text) ?? false;
    views.push({ name, value: text, changed, ...(ref === null ? {} : { ref }) });
  }
  return views;
}

/** Values of the selected frame's locals by key, for Changes.remember(). */
export function localTexts(machine: Machine, selection: Selection): ReadonlyMap<string, string> {
  return looking(machine, () => {
    const texts = new Map<string, string>();
    const frame = selectedFrame(machine, selection);
    if (frame === null) return texts;
    const { fn } = siteInfo(frame.site);
    for (const [name, { text }] of readLocals(frame.locals)) {
      texts.set(localKey(selection.task, frame.depth, fn, name), text);
    }
    return texts;
  });
}
