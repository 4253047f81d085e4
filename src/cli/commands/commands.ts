/** `rmapdbg commands`: the debugger's command words. */
import type { CommandModule } from 'yargs';
import { commandTable } from '../../debugger/session.ts';
import { withOutput } from '../options.ts';
import { writeJson } from '../output.ts';

interface Arguments {
  readonly json: boolean;
}

export const commandsCommand: CommandModule<object, Arguments> = {
  command: 'commands',
  describe: 'the debugger commands',
  builder: (argv) =>
    withOutput(argv)
      .example('$0 commands', 'one line each')
      .example('$0 commands --json', 'one object per command') as never,
  handler: (args) => {
    for (const { names, group, usage, help } of commandTable) {
      if (args.json) writeJson({ names, group, usage, help });
      else process.stdout.write(`${`${names.join(', ')} ${usage}`.trim().padEnd(48)} ${help}\n`);
    }
  },
};
