/** From a run to the schedule that repeats it. */
import { hashText } from '../base/hash.ts';
import { type Schedule, scheduleChoices } from '../sim/schedule.ts';
import type { Scenario } from './ast.ts';
import type { RunState, ScenarioRun } from './run.ts';

/** What a schedule belongs to: the text, and the parameters that are not as the text says. */
export function scenarioHash({ source, given }: Scenario): number {
  if (given === undefined) return hashText(source.text);
  const numbers = [...given].sort().map(([name, value]) => `${name}=${value}`);
  return hashText(`${source.text}\n${numbers.join(' ')}`);
}

/** The interleaving of the races so far, as a schedule: what `--schedule` takes to see it again. */
export function scheduleOf(run: ScenarioRun, kernel: string): Schedule {
  const races: { task: number; steps: number }[][] = [];
  for (const slice of run.machine.slices) {
    const state = slice.driver as RunState | undefined;
    if (state?.race === null || state === undefined) continue;
    const list = races[state.races] ?? [];
    races[state.races] = list;
    list.push({
      task: state.race.column,
      steps: slice.end === 'fuel' ? slice.endStep - slice.step : 0,
    });
  }
  return {
    kernel,
    scenarioHash: scenarioHash(run.scenario),
    races: Array.from(races, (race) => race ?? []),
    choices: scheduleChoices(run.machine.choices()),
  };
}
