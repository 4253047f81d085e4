/** `rmapdbg kernels`: the presets. */
import type { CommandModule } from 'yargs';
import { eraClass } from '../../debugger/inspect/lock-names.ts';
import { featureDocs, kernelNames, selectKernel } from '../../linux/kernels.ts';
import { withOutput } from '../options.ts';
import { writeJson } from '../output.ts';

interface Arguments {
  readonly json: boolean;
  readonly verbose: boolean;
}

export const kernelsCommand: CommandModule<object, Arguments> = {
  command: 'kernels',
  describe: 'the kernels there are',
  builder: (argv) =>
    withOutput(argv)
      .option('verbose', {
        alias: 'v',
        type: 'boolean',
        default: false,
        describe: 'features and lock order too',
      })
      .example('$0 kernels', 'one line each')
      .example('$0 kernels -v', 'with features and lock order') as never,
  handler: (args) => {
    for (const name of kernelNames()) {
      const kernel = selectKernel(name);
      const features = [...kernel.features];
      if (args.json) {
        writeJson({
          name: kernel.name,
          title: kernel.title,
          mechanism: kernel.anon_rmap.name,
          features,
          lockTree: kernel.lock_tree,
        });
        continue;
      }
      process.stdout.write(`${kernel.name.padEnd(16)} ${kernel.title}\n`);
      if (!args.verbose) continue;
      process.stdout.write(`    mechanism: ${kernel.anon_rmap.name}\n`);
      if (features.length > 0) process.stdout.write('    features:\n');
      for (const feature of features) {
        process.stdout.write(`      ${feature.padEnd(24)} ${featureDocs[feature]}\n`);
      }
      process.stdout.write('    lock order:\n');
      for (const lock of kernel.lock_tree) {
        process.stdout.write(`      ${'  '.repeat(lock.depth)}${eraClass(lock.cls, kernel)}\n`);
      }
    }
  },
};
