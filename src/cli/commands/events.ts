/** `rmapdbg events`: the tracepoints, as `bpftrace -l` and `-lv` list them. */
import type { CommandModule } from 'yargs';
import '../../linux/kernels.ts';
import { allEvents } from '../../sim/event.ts';
import { UsageError } from '../files.ts';
import { withOutput } from '../options.ts';
import { writeJson } from '../output.ts';

interface Arguments {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly pattern: string | undefined;
}

const kinds = { n: 'number', x: 'address', obj: 'pointer', page: 'page', str: 'text' } as const;

export const eventsCommand: CommandModule<object, Arguments> = {
  command: 'events [pattern]',
  describe: 'the events a breakpoint can stop at',
  builder: (argv) =>
    withOutput(argv)
      .positional('pattern', { type: 'string', describe: 'a glob: rmap:*' })
      .option('verbose', {
        alias: 'v',
        type: 'boolean',
        default: false,
        describe: 'fields and meaning too',
      })
      .example('$0 events', 'all of them')
      .example("$0 events 'rmap:walk_*' -v", 'with fields') as never,
  handler: (args) => {
    const pattern = new RegExp(
      `^${(args.pattern ?? '*')
        .replace(/[.+^${}()|[\]\\]/g, '\\$&')
        .replaceAll('*', '.*')
        .replaceAll('?', '.')}$`,
    );
    const events = allEvents()
      .filter((e) => pattern.test(e.name))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    if (events.length === 0) {
      throw new UsageError(`no event matches ${args.pattern}; \`rmapdbg events\` lists them`);
    }
    for (const event of events) {
      const fields = event.fields.map((f) => ({ name: f.name, kind: kinds[f.kind] }));
      if (args.json) writeJson({ name: event.name, doc: event.doc, fields });
      else if (args.verbose) {
        process.stdout.write(`${event.name}\n    ${event.doc}\n`);
        for (const field of fields) process.stdout.write(`    ${field.kind} ${field.name}\n`);
      } else process.stdout.write(`${event.name.padEnd(32)} ${event.doc}\n`);
    }
  },
};
