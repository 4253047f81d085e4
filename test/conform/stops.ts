/**
 * How far the recordings go that do not go to their end: the first operation that differs at each level
 * (`full`: as at `core`, unless it says otherwise), its name, and the kind of fact or `unsupported`.
 * This list can only shrink; docs/FIDELITY.md says why each kind of stop is there.
 */
export const stops: Readonly<Record<string, { readonly core?: string; readonly full?: string }>> = {
  'hand-ksm-basic': { core: '3 ksm unsupported' },
  'hand-ksm-exit': { core: '5 ksm unsupported' },
  'hand-merge-prctl-ksm': { core: '4 prctl_merge unsupported' },
  'hand-rmap-ksm-mremap': { core: '4 ksm unsupported' },
  'hand-rmap-ksm-tree': { core: '0 prctl_merge unsupported' },
  'hand-thp-collapse-fork': { core: '2 madvise unsupported' },
  'hand-thp-dontneed': { core: '5 madvise pte' },
  'hand-thp-ksm': { core: '5 ksm unsupported' },
  'hand-thp-mprotect': { full: '6 munmap thp' },
  'ksm-1': { core: '9 ksm unsupported' },
  'ksm-2': { core: '9 ksm unsupported' },
  'ksm-3': { core: '8 ksm unsupported' },
  'ksm-4': { core: '8 ksm unsupported' },
  'thp-1': { core: '22 madvise unsupported' },
  'thp-2': { core: '20 madvise unsupported' },
  'thp-3': { core: '30 madvise unsupported' },
  'thp-4': { core: '6 madvise unsupported' },
};
