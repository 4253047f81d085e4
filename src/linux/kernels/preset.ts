import type { feature, kernel, lock_tree_node } from '../kernel.ts';

/** One kernel as data; selectKernel() adds its name and what `--patch` and `--without` ask for. */
export interface preset {
  readonly title: string;
  readonly features: readonly feature[];
  readonly anon_rmap: kernel['anon_rmap'];
  readonly mm: kernel['mm'];
  readonly words: kernel['words'];
  readonly object_bytes: kernel['object_bytes'];
  readonly lock_tree: readonly lock_tree_node[];
}
