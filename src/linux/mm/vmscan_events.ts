/** Tracepoints of reclaim and of the OOM killer: include/trace/events/vmscan.h, oom.h. */
import { tracepoint } from '../../sim/event.ts';

export const trace_mm_vmscan_wakeup_kswapd = tracepoint(
  'vmscan:mm_vmscan_wakeup_kswapd',
  { order: 'n', free: 'n' },
  'an allocation found less than the low watermark free and woke kswapd',
);
export const trace_mm_vmscan_kswapd_wake = tracepoint(
  'vmscan:mm_vmscan_kswapd_wake',
  { order: 'n', free: 'n' },
  'kswapd began to balance the node',
);
export const trace_mm_vmscan_kswapd_sleep = tracepoint(
  'vmscan:mm_vmscan_kswapd_sleep',
  { free: 'n', failures: 'n' },
  'kswapd went to sleep: enough is free, or it is hopeless',
);
export const trace_mm_vmscan_direct_reclaim_begin = tracepoint(
  'vmscan:mm_vmscan_direct_reclaim_begin',
  { order: 'n', free: 'n' },
  'a task that needs memory began to reclaim it itself',
);
export const trace_mm_vmscan_direct_reclaim_end = tracepoint(
  'vmscan:mm_vmscan_direct_reclaim_end',
  { nr_reclaimed: 'n', free: 'n' },
  'direct reclaim ended',
);
export const trace_mm_vmscan_lru_isolate = tracepoint(
  'vmscan:mm_vmscan_lru_isolate',
  { lru: 'n', nr_requested: 'n', nr_scanned: 'n', nr_taken: 'n' },
  'folios were taken off the end of an LRU list: 0 inactive anon, 1 active anon, 2 inactive file, 3 active file',
);
export const trace_mm_vmscan_lru_shrink_active = tracepoint(
  'vmscan:mm_vmscan_lru_shrink_active',
  { file: 'n', nr_taken: 'n', nr_active: 'n', nr_deactivated: 'n', priority: 'n' },
  'part of an active list was moved to the inactive one',
);
export const trace_mm_vmscan_lru_shrink_inactive = tracepoint(
  'vmscan:mm_vmscan_lru_shrink_inactive',
  { file: 'n', nr_scanned: 'n', nr_reclaimed: 'n', priority: 'n' },
  'part of an inactive list was reclaimed',
);
export const trace_reclaim_retry_zone = tracepoint(
  'oom:reclaim_retry_zone',
  {
    order: 'n',
    reclaimable: 'n',
    available: 'n',
    min_wmark: 'n',
    no_progress_loops: 'n',
    retry: 'n',
  },
  'whether reclaim is worth another try before the OOM killer is asked',
);
export const trace_oom_kill_process = tracepoint(
  'oom:oom_kill_process',
  { pid: 'n', comm: 'str', badness: 'n', free: 'n', min_wmark: 'n', swap_free: 'n', by: 'str' },
  'out of memory: the process with the largest badness (resident, swapped and page-table pages) was chosen',
);
export const trace_mark_victim = tracepoint(
  'oom:mark_victim',
  {
    pid: 'n',
    comm: 'str',
    total_vm: 'n',
    anon_rss: 'n',
    file_rss: 'n',
    shmem_rss: 'n',
    pgtables: 'n',
  },
  'a process is being killed for want of memory; it may use half of the reserve (sizes in KiB)',
);
export const trace_start_task_reaping = tracepoint(
  'oom:start_task_reaping',
  { pid: 'n' },
  'the memory of a process that is being killed is unmapped before it exits',
);
export const trace_skip_task_reaping = tracepoint(
  'oom:skip_task_reaping',
  { pid: 'n' },
  'the memory of a process that is being killed could not be unmapped: mmap_lock was taken',
);
