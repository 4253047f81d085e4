/**
 * The kernels that can be booted: presets as data, an era a file in kernels/. A kernel is a mechanism (its
 * anon-rmap operations record), a memory manager, named features that mechanism code asks for with has(), and
 * its documented lock order.
 */
import type { feature, kernel } from './kernel.ts';
import { anon_vma_kernels } from './kernels/anon_vma.ts';
import { avc_list_features, avc_list_kernels } from './kernels/avc_list.ts';
import { avc_tree_features, avc_tree_kernels } from './kernels/avc_tree.ts';
import { early24_features, early24_kernels } from './kernels/early24.ts';
import { early26_features, early26_kernels } from './kernels/early26.ts';
import { modern_features, modern_kernels } from './kernels/modern.ts';
import type { preset } from './kernels/preset.ts';
import { startOperation } from './operations.ts';

/** In the order of time. */
const presets: Readonly<Record<string, preset>> = {
  ...early24_kernels,
  ...early26_kernels,
  ...anon_vma_kernels,
  ...avc_list_kernels,
  ...avc_tree_kernels,
  ...modern_kernels,
};

/** What each feature is, in the order of `rmapdbg kernels`. */
export const featureDocs: Readonly<Record<feature, string>> = {
  ...early24_features,
  ...early26_features,
  ...avc_list_features,
  ...avc_tree_features,
  ...modern_features,
};

/** A kernel or feature that does not exist: a mistake of the user's. `known` are the names there are. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  readonly what: 'kernel' | 'feature';
  readonly wanted: string;
  readonly known: readonly string[];
  constructor(what: 'kernel' | 'feature', wanted: string, known: readonly string[]) {
    super(`no ${what} named ${wanted}; there is ${known.join(', ')}`);
    this.what = what;
    this.wanted = wanted;
    this.known = known;
  }
}

export function kernelNames(): readonly string[] {
  return Object.keys(presets);
}

export function featureNames(): readonly feature[] {
  return Object.keys(featureDocs) as feature[];
}

function featureNamed(name: string): feature {
  const found = featureNames().find((feature) => feature === name);
  if (found === undefined) {
    throw new KernelError('feature', name, featureNames());
  }
  return found;
}

/** The preset `name` with features added (`--patch`) and taken away (`--without`). Throws KernelError. */
export function selectKernel(
  name: string,
  patches: readonly string[] = [],
  withouts: readonly string[] = [],
): kernel {
  const preset = Object.hasOwn(presets, name) ? presets[name] : undefined;
  if (preset === undefined) {
    throw new KernelError('kernel', name, kernelNames());
  }
  return kernelOf(name, preset, patches, withouts);
}

/** A preset that need not be in the table, as a kernel: the way in for a scheme of your own. Throws KernelError. */
export function kernelOf(
  name: string,
  preset: preset,
  patches: readonly string[] = [],
  withouts: readonly string[] = [],
): kernel {
  const features = new Set<feature>(preset.features);
  for (const patch of patches) {
    features.add(featureNamed(patch));
  }
  for (const without of withouts) {
    features.delete(featureNamed(without));
  }
  return {
    name,
    title: preset.title,
    features,
    anon_rmap: preset.anon_rmap,
    mm: preset.mm,
    words: preset.words,
    object_bytes: preset.object_bytes,
    lock_tree: preset.lock_tree,
    alloc_pages_slowpath: preset.mm.alloc_pages_slowpath,
    startOperation,
  };
}
