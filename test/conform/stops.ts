/**
 * How far the recordings go that do not go to their end: the first operation that differs at each level
 * (`full`: as at `core`, unless it says otherwise), its name, and the kind of fact or `unsupported`.
 * This list can only shrink; docs/FIDELITY.md says why each kind of stop is there.
 */
export const stops: Readonly<Record<string, { readonly core?: string; readonly full?: string }>> =
  {};
