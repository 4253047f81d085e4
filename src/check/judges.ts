/**
 * The judges: what must be true of a machine's memory, found out by brute force. They read the state,
 * change nothing and share no code with what they judge.
 */
import { has } from '../linux/kernel.ts';
import type { Machine } from '../sim/machine.ts';
import { conditionById } from '../sim/wait.ts';
import { judgeEarlyRmap } from './early-rmap.ts';
import { khugepagedMms } from './khugepaged.ts';
import { judgeKsm, scannedMms, stableItems, takeKsmPicture } from './ksm.ts';
import { judgeSplitQueue } from './large-pages.ts';
import { judgeLeaks } from './leaks.ts';
import { diedInside, heldLocks, judgeHeld } from './locks.ts';
import { judgeFreeLists, judgeIsolated, judgeLru } from './lru.ts';
import { judgeFreed, judgePages } from './pages.ts';
import { takePicture } from './picture.ts';
import { Chains, judgeChains, judgeReachable, reachableAnonVmas } from './rmap.ts';
import { judgeMigrationLeft, judgeMigrationLocks, judgeSwap } from './swap.ts';
import type { Verdict, Verdicts } from './verdict.ts';
import { judgeVmaLists } from './vma-list.ts';
import { judgeEntries, judgeRss, judgeVmas } from './vmas.ts';
import { judgeWalks } from './walks.ts';

export type { Verdict } from './verdict.ts';

/**
 * When a judgement is made: `operation-end` right after an operation has finished, `step` anywhere. What
 * holds only at rest is left out while an operation is in flight, at either moment.
 */
export type Moment = 'operation-end' | 'step';

/**
 * No operation is half done: each task is idle, or waits for another process (vfork, wait), which it
 * does holding nothing.
 */
function atRest(machine: Machine): boolean {
  for (let id = 1; id <= machine.taskCount(); id++) {
    const block = machine.block(id);
    if (block.op === 0) continue;
    if (block.wait_kind === 0 || block.held_count > 0) return false;
    if (conditionById(block.wait_kind).name !== 'completion') return false;
  }
  return true;
}

/** Everything that is wrong now. An oops ends judging: the state after it promises nothing. */
export function judge(machine: Machine, moment: Moment): Verdict[] {
  machine.activate();
  const verdicts: Verdicts = [];
  for (let id = 1; id <= machine.taskCount(); id++) if (diedInside(machine, id)) return verdicts;
  verdicts.push(...judgeHeld(machine));
  const picture = takePicture(machine);
  const chains = new Chains();
  judgeFreed(picture, verdicts);
  judgeMigrationLocks(picture, verdicts);
  judgeLru(picture, verdicts);
  if (!atRest(machine)) {
    const held = heldLocks(machine);
    judgeReachable(picture, chains, held);
    judgeEarlyRmap(picture, held, verdicts);
    verdicts.push(...chains.verdicts);
    judgeEntries(picture, (mm) => held.any.has(mm.mmap_lock), verdicts);
    return verdicts;
  }
  judgeVmas(picture, verdicts);
  if (has('i_mmap_lists')) judgeVmaLists(picture, verdicts);
  judgeEntries(picture, () => false, verdicts);
  judgeReachable(picture, chains, null);
  judgeEarlyRmap(picture, null, verdicts);
  const ksm = takeKsmPicture(verdicts);
  const held = stableItems(ksm).flatMap((item) => item.anon_vma ?? []);
  const family = reachableAnonVmas(picture, chains, held);
  judgeChains(picture, chains, family, held);
  verdicts.push(...chains.verdicts);
  judgePages(picture, verdicts);
  judgeIsolated(verdicts);
  judgeSplitQueue(picture, verdicts);
  judgeFreeLists(picture, verdicts);
  judgeRss(picture, verdicts);
  judgeMigrationLeft(picture, verdicts);
  judgeSwap(picture, verdicts);
  judgeKsm(picture, chains, ksm, verdicts);
  const kept = [...scannedMms(ksm), ...khugepagedMms(verdicts)];
  judgeLeaks(picture, chains, family, kept, verdicts);
  if (moment === 'operation-end') judgeWalks(machine, picture, verdicts);
  return verdicts;
}
