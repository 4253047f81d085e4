/** `rmapdbg scenarios`: what comes with the program. */
import type { CommandModule } from 'yargs';
import { withOutput } from '../options.ts';
import { writeJson } from '../output.ts';
import { shippedScenarios } from '../shipped.ts';

interface Arguments {
  readonly json: boolean;
}

export const scenariosCommand: CommandModule<object, Arguments> = {
  command: 'scenarios',
  describe: 'the scenarios that come with rmapdbg',
  builder: (argv) =>
    withOutput(argv)
      .example('$0 scenarios', 'the tour comes first')
      .example('$0 scenarios --json', 'with what each is about') as never,
  handler: (args) => {
    for (const scenario of shippedScenarios()) {
      if (args.json) writeJson(scenario);
      else process.stdout.write(`${scenario.path.padEnd(44)} ${scenario.title}\n`);
    }
  },
};
