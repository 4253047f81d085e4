/**
 * How far the recordings go that do not go to their end: the first operation that differs at each level
 * (`full`: as at `core`, unless it says otherwise), its name, and the kind of fact or `unsupported`.
 * This list can only shrink; docs/FIDELITY.md says why each kind of stop is there.
 */
export const stops: Readonly<Record<string, { readonly core?: string; readonly full?: string }>> = {
  'hand-thp-collapse-fork': { core: '2 madvise unsupported' },
  'hand-thp-dontneed': { core: '5 madvise pte' },
  'hand-thp-ksm': { core: '5 ksm pte' },
  'hand-thp-mprotect': { full: '6 munmap thp' },
  'thp-1': { core: '22 madvise unsupported' },
  'thp-2': { core: '20 madvise unsupported' },
  'thp-3': { core: '30 madvise unsupported' },
  'thp-4': { core: '6 madvise unsupported' },
};
