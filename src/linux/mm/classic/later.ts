/** The memory managers of 3.7 to 3.19 as presets name them: the classic one, and what each kernel lacks. */
import type { mm_ops } from '../ops.ts';
import { classic_mm } from './engine.ts';

const noHuge = 'the kernels before 6.18 are built without CONFIG_TRANSPARENT_HUGEPAGE here';

const { memfd_create, execveat, ...missing } = classic_mm.missing;

/** What 3.19 lacks. */
export const missing_3_19: mm_ops['missing'] = {
  ...missing,
  collapse: noHuge,
  khugepaged_scan: noHuge,
  split: noHuge,
};

const with_reasons = (more: Record<string, string | undefined>): mm_ops['missing'] => {
  const all: Record<string, string> = { ...missing_3_19 };
  for (const [name, reason] of Object.entries(more)) {
    if (reason !== undefined) {
      all[name] = reason;
    }
  }
  return all;
};

export const mm_3_7: mm_ops = {
  ...classic_mm,
  missing: with_reasons({ memfd_create, execveat }),
};

export const mm_3_18: mm_ops = { ...classic_mm, missing: with_reasons({ execveat }) };

export const mm_3_19: mm_ops = { ...classic_mm, missing: missing_3_19 };
