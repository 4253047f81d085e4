/** Hashes of the active machine: equal schedules give equal hashes, in any process. */
import { mixNumber, mixWord } from '../base/hash.ts';
import { cpu } from './cpu.ts';
import { eventLog } from './event.ts';
import { heapEnd } from './struct.ts';
import { tableEnd } from './table.ts';

/** Struct memory, page tables and page frames. */
export function memoryHash(): number {
  let hash = 0;
  const end = heapEnd();
  for (let i = 0; i < end; i++) hash = mixNumber(hash, cpu.heap[i] as number);
  const tables = tableEnd();
  for (let i = 0; i < tables; i++) hash = mixWord(hash, cpu.pte[i] as number);
  for (let i = 0; i < cpu.frame.length; i++) hash = mixWord(hash, cpu.frame[i] as number);
  for (let i = 0; i < cpu.frame_index.length; i++) {
    hash = mixNumber(hash, cpu.frame_index[i] as number);
  }
  return hash;
}

/** Every event so far: type, task, step and fields. */
export function traceHash(): number {
  const log = eventLog.active;
  let hash = cpu.event_count;
  const words = log.start[cpu.event_count] ?? 0;
  for (let i = 0; i < cpu.event_count; i++) {
    hash = mixNumber(
      mixWord(mixWord(hash, log.type[i] as number), log.task[i] as number),
      log.step[i] as number,
    );
  }
  for (let i = 0; i < words; i++) hash = mixNumber(hash, log.words[i] as number);
  return hash;
}
